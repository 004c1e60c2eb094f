"""`python -m tests.chaos`: random faults and a verdict; `... show WHAT`: scripted ones with figures."""

import argparse
import asyncio
import random
import sys

from tests.chaos.runs import chaos
from tests.chaos.show import SHOWS


def main() -> int:
    """Exit code 0 when every run kept the promises, 1 when one did not."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long faults go on (default 60)")
    parser.add_argument("--seed", type=int, help="of the faults; a random one is printed")
    parser.add_argument("--rounds", type=int, default=1, help="runs, with seeds that follow each other")
    parser.add_argument("--rate", type=float, default=150.0, help="jobs enqueued a second (default 150)")
    parser.add_argument("--redis", choices=("any", "embedded", "external"), default="any")
    commands = parser.add_subparsers(dest="command")
    show = commands.add_parser("show", help="scripted faults, with figures")
    show.add_argument("what", choices=(*SHOWS, "all"))
    show.add_argument("--jobs", type=int, default=20_000)
    options = parser.parse_args()
    if options.command == "show":
        names = list(SHOWS) if options.what == "all" else [options.what]
        return max(int(not asyncio.run(SHOWS[name](options.jobs))) for name in names)
    first = random.randrange(1_000_000) if options.seed is None else options.seed
    failed = 0
    for seed in range(first, first + options.rounds):
        print(f"seed {seed}: {options.seconds:g} s of faults", flush=True)
        report = asyncio.run(chaos(seed, options.seconds, redis=options.redis, rate=options.rate))
        print(report, flush=True)
        failed += not report.ok
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
