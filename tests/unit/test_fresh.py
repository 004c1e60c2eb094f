"""A value that many callers ask for is made once."""

import asyncio

import pytest

from relay_server.fresh import Fresh


class Maker:
    def __init__(self) -> None:
        self.made = 0
        self.now = 0.0
        self.gate = asyncio.Event()
        self.gate.set()
        self.fails = False

    async def make(self) -> int:
        self.made += 1
        await self.gate.wait()
        if self.fails:
            raise OSError("away")
        return self.made

    def fresh(self) -> Fresh[int]:
        return Fresh(self.make, for_s=1.0, clock=lambda: self.now)


async def test_callers_at_once_share_one_making() -> None:
    maker = Maker()
    fresh = maker.fresh()
    assert await asyncio.gather(*(fresh.get() for _ in range(50))) == [1] * 50
    maker.now = 0.9
    assert await fresh.get() == 1
    assert not fresh.is_over
    maker.now = 1.0
    assert fresh.is_over
    assert await asyncio.gather(*(fresh.get() for _ in range(50))) == [2] * 50


async def test_a_cancelled_caller_neither_stops_the_making_nor_starts_another() -> None:
    maker = Maker()
    fresh = maker.fresh()
    maker.gate.clear()
    for _ in range(20):
        asking = asyncio.create_task(fresh.get())
        await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
    assert not fresh.is_over
    maker.gate.set()
    assert await fresh.get() == maker.made == 1


async def test_a_failure_reaches_all_waiting_callers_and_is_not_kept() -> None:
    maker = Maker()
    fresh = maker.fresh()
    maker.fails = True
    found = await asyncio.gather(*(fresh.get() for _ in range(3)), return_exceptions=True)
    assert [type(one) for one in found] == [OSError] * 3
    maker.fails = False
    assert await fresh.get() == 2


async def test_a_value_that_is_slow_to_make_is_kept_for_longer() -> None:
    """With a part of 0.2: a value that took 1 s is good for 4 s, and one that took no time for as long as it says."""
    now, took = 0.0, 1.0

    async def make() -> float:
        nonlocal now
        now += took
        return now

    fresh = Fresh(make, for_s=0.5, part=0.2, clock=lambda: now)
    assert await fresh.get() == 1.0
    assert fresh.left_s == pytest.approx(4.0)
    now += 3.9
    assert await fresh.get() == 1.0
    now, took = now + 0.2, 0.0
    assert await fresh.get() == pytest.approx(5.1)
    assert fresh.left_s == pytest.approx(0.5)
