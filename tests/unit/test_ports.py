"""How many files a server may have open."""

import subprocess
import sys

RAISED = """
import resource
from relay_server.ports import allow_open_files
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 4096))
allow_open_files()
print(resource.getrlimit(resource.RLIMIT_NOFILE))
allow_open_files()
print(resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def test_a_server_takes_as_many_open_files_as_it_may_have() -> None:
    done = subprocess.run([sys.executable, "-c", RAISED], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["(4096, 4096)"] * 2
