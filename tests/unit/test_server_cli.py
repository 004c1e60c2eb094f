"""`relay-server` before it serves."""

import os
import signal
import subprocess
import sys
from pathlib import Path


def test_ctrl_c_while_it_is_still_importing_ends_it_without_a_word(tmp_path: Path) -> None:
    (tmp_path / "pydantic.py").write_text("import signal\nprint('importing', flush=True)\nsignal.pause()\n")
    with subprocess.Popen(
        [sys.executable, "-c", "from relay_server.cli import main; main()"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as server:
        try:
            assert server.stdout is not None
            assert server.stdout.readline() == "importing\n"
            server.send_signal(signal.SIGINT)
            assert server.wait(20) == 130
            assert server.stdout.read() == ""
        finally:
            server.kill()
