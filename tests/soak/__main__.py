"""`python -m tests.soak`: prints what grew and what did not; exit code 1 when something grew beyond its limit."""

import argparse
import asyncio
import sys

from tests.soak.measures import bench, cycles, drained, idle, slow_consumer
from tests.support.figures import Figure


async def run(options: argparse.Namespace) -> list[Figure]:
    """All measurements, on one server."""
    figures: list[Figure] = []
    async with bench() as place:
        for measure in (
            slow_consumer(place),
            drained(place, options.rounds),
            idle(place, options.idle),
            cycles(place, options.cycles),
        ):
            for figure in await measure:
                print(figure, flush=True)
                figures.append(figure)
    return figures


def main() -> int:
    """Exit code 0 when every figure is within its limit."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument(
        "--cycles", type=int, default=100_000, help="streams opened and cancelled (default 100 000)"
    )
    parser.add_argument("--idle", type=int, default=2000, help="idle streams at once (default 2000)")
    parser.add_argument("--rounds", type=int, default=400, help="times 500 jobs are worked off (default 400)")
    figures = asyncio.run(run(parser.parse_args()))
    return 0 if all(figure.ok for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
