"""The figures of a show: a sheet of conditions, and how many jobs are done from one moment to the next."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.fleet.fleet import Fleet

# Throughput is back when a second brings this part of what a second brought before.
BACK = 0.8


class Sheet:
    """Prints figures and conditions; `ok` once all conditions held."""

    def __init__(self, title: str) -> None:
        self.ok = True
        print(f"== {title}", flush=True)

    def note(self, text: str) -> None:
        print(f"   {text}", flush=True)

    def check(self, holds: bool, text: str) -> None:
        self.ok = self.ok and holds
        print(f"   {'yes' if holds else 'NO '} {text}", flush=True)


class Throughput:
    """Samples how many jobs are done, every 100 ms."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self.samples: list[tuple[float, int]] = []

    async def run(self) -> None:
        while True:
            done = await self._fleet.acked()
            if done >= 0:
                self.samples.append((time.monotonic(), done))
            await asyncio.sleep(0.1)

    def rate(self, since: float, until_: float) -> float:
        """Jobs a second between two times."""
        inside = [sample for sample in self.samples if since <= sample[0] <= until_]
        if len(inside) < 2:
            return 0.0
        return (inside[-1][1] - inside[0][1]) / (inside[-1][0] - inside[0][0])

    async def back(self, since: float, rate: float, *, within: float = 60.0) -> float:
        """Seconds from `since` to the start of the first second that brought most of `rate`."""
        while time.monotonic() - since < within:
            await asyncio.sleep(0.1)
            for at, _ in [sample for sample in self.samples if sample[0] >= since]:
                if at + 1 <= time.monotonic() and self.rate(at, at + 1.05) >= BACK * rate:
                    return at - since
        return float("inf")


@asynccontextmanager
async def sampled(fleet: Fleet) -> AsyncIterator[Throughput]:
    """Samples during the block."""
    throughput = Throughput(fleet)
    task = asyncio.create_task(throughput.run())
    try:
        yield throughput
    finally:
        task.cancel()
