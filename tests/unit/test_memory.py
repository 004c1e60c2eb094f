"""When memory is given back: after it grew, and no more often than the loop can bear."""

import pytest

from relay_server.memory import COLLECTING_PART, GROWN_BYTES_MIN, Remains, rss_bytes, trim

MIB = 1 << 20


class Process:
    """Memory that a test sets, in use and freed, and what was done about it."""

    def __init__(self) -> None:
        self.used, self.freed, self.now = 100 * MIB, 0, 0.0
        self.collected = self.trimmed = 0
        self.collecting_s = 0.01
        self.remains = Remains(
            rss_bytes=lambda: self.used + self.freed,
            collect=self.collect,
            trim=self.trim,
            clock=lambda: self.now,
        )

    def collect(self) -> None:
        self.collected += 1
        self.now += self.collecting_s

    def trim(self) -> None:
        self.trimmed += 1
        self.freed = 0

    async def look(self, after_s: float = 1000) -> None:
        self.now += after_s
        await self.remains.look()


async def test_nothing_is_done_while_memory_does_not_grow() -> None:
    process = Process()
    process.used += GROWN_BYTES_MIN - 1
    await process.look()
    assert (process.collected, process.trimmed) == (0, 0)


async def test_memory_of_a_burst_is_returned_once() -> None:
    process = Process()
    process.freed = 200 * MIB
    await process.look()
    await process.look()
    assert (process.collected, process.trimmed, process.freed) == (1, 1, 0)


async def test_memory_freed_after_the_last_growth_is_returned_too() -> None:
    """It does not show: the process is as large as it was."""
    process = Process()
    process.used += 200 * MIB
    await process.look()
    process.used, process.freed = process.used - 200 * MIB, 200 * MIB
    await process.look()
    assert (process.collected, process.freed) == (1, 0)


async def test_growth_is_measured_from_the_memory_that_stays() -> None:
    process = Process()
    process.used = 300 * MIB
    await process.look()
    await process.look()
    assert process.collected == 1
    process.used = 150 * MIB  # its owners let go of it later
    await process.look()
    assert process.collected == 1
    process.used += GROWN_BYTES_MIN
    await process.look()
    assert process.collected == 2


async def test_long_collections_are_rare() -> None:
    """However fast memory grows, this part of the time is spent on them."""
    process = Process()
    process.collecting_s = 0.1
    while process.now < 1000:
        process.used += 100 * MIB
        await process.look(after_s=5)
    assert process.collected * process.collecting_s == pytest.approx(1000 * COLLECTING_PART, rel=0.2)


def test_this_system_measures_and_returns_memory() -> None:
    assert rss_bytes() > MIB
    trim()
