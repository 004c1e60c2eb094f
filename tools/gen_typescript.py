"""Generates clients/typescript/gen from proto/, or with --check says how the committed copy differs.

buf runs the plugin that clients/typescript pins. Details of errors (google/rpc) are generated too: no package has them.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from compare import compare

ROOT = Path(__file__).resolve().parent.parent
COMMITTED = ROOT / "clients" / "typescript" / "gen"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="only fail if the committed code differs")
    check = parser.parse_args().check
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder)
        generate(fresh)
        differences = compare(fresh, COMMITTED)
        if check:
            for line in differences:
                print(line)
            if differences:
                print(
                    "clients/typescript/gen is not what proto/ generates: run `make gen`, commit the result."
                )
            return 1 if differences else 0
        if differences:
            shutil.rmtree(COMMITTED, ignore_errors=True)
            shutil.copytree(fresh, COMMITTED)
        print(f"clients/typescript/gen: {len(differences)} files changed")
    return 0


def generate(out: Path) -> None:
    """Write the messages and services of every proto below `out`."""
    buf = shutil.which("buf", path=str(Path(sys.executable).parent))
    if buf is None:
        sys.exit("no buf beside this Python: run `make venv`")
    command = [buf, "generate", "--template", "buf.gen.typescript.yaml", "--output", str(out)]
    done = subprocess.run(command, cwd=ROOT, check=False)
    if done.returncode:
        sys.exit(done.returncode)


if __name__ == "__main__":
    sys.exit(main())
