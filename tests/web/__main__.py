"""`python -m tests.web show busy`: the dashboard beside a large, busy server, with figures."""

import argparse
import sys

from tests.web.busy import Size, busy


def main() -> int:
    """Exit code 0 when the page stayed usable, 1 when it did not."""
    parser = argparse.ArgumentParser(prog="python -m tests.web", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    show = commands.add_parser("show", help="a page in a real browser under load, with figures")
    show.add_argument("what", choices=("busy",))
    show.add_argument("--queues", type=int, default=200)
    show.add_argument("--dead", type=int, default=100_000, help="dead letters in one of them")
    show.add_argument("--rate", type=int, default=5000, help="jobs a second")
    show.add_argument(
        "--seconds", type=int, default=15, help="how long the page is watched while nobody clicks"
    )
    options = parser.parse_args()
    size = Size(queues=options.queues, dead=options.dead, rate=options.rate, seconds=options.seconds)
    return int(not busy(size))


if __name__ == "__main__":
    sys.exit(main())
