"""`python -m tests.topology show failover|slots`: a failing primary and moving slots under load, with figures."""

import argparse
import asyncio
import sys

from tests.topology.show import SHOWS


def main() -> int:
    """Exit code 0 when every promise held, 1 when one did not."""
    parser = argparse.ArgumentParser(prog="python -m tests.topology", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    show = commands.add_parser("show", help="scripted faults, with figures")
    show.add_argument("what", choices=(*SHOWS, "all"))
    options = parser.parse_args()
    names = list(SHOWS) if options.what == "all" else [options.what]
    return max(int(not asyncio.run(SHOWS[name]())) for name in names)


if __name__ == "__main__":
    sys.exit(main())
