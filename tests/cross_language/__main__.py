"""`python -m tests.cross_language show mixed`: the three SDKs under faults, with figures."""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from tests.cross_language.builds import drivers
from tests.cross_language.show import mixed


def main() -> int:
    """Exit code 0 when the promises held, 1 when one did not."""
    parser = argparse.ArgumentParser(prog="python -m tests.cross_language", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    show = commands.add_parser("show", help="scripted faults, with figures")
    show.add_argument("what", choices=("mixed",))
    show.add_argument("--jobs", type=int, default=10_000)
    show.add_argument(
        "--server", default="", help="HOST:PORT of a running server, such as that of make demo; else its own"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="relay-drivers-") as folder:
        built = drivers(Path(folder))
        return int(not asyncio.run(mixed(options.jobs, built, address=options.server)))


if __name__ == "__main__":
    sys.exit(main())
