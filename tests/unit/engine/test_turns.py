"""Turns: heavy scripts one a caller and two in all, with rests; and steps that shrink when they are slow."""

import asyncio
import gc
import time
from functools import partial

import pytest

from relay_server.engine.turns import AT_ONCE, STEP_JOBS_MAX, STEP_JOBS_MIN, Steps, Turns
from tests.support.waiting import eventually


class Work:
    """Counts how many run at once, of each caller and in all."""

    def __init__(self) -> None:
        self.running: list[str] = []
        self.most = self.most_of_one = self.done = 0
        self.order: list[str] = []

    async def of(self, name: str) -> None:
        self.running.append(name)
        self.order.append(name)
        self.most = max(self.most, len(self.running))
        self.most_of_one = max(self.most_of_one, self.running.count(name))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        self.running.remove(name)
        self.done += 1


async def _as(name: str, turns: Turns, work: Work, times: int) -> None:
    await asyncio.gather(*(turns.of(name).take(partial(work.of, name)) for _ in range(times)))


async def test_one_a_caller_and_two_in_all() -> None:
    turns, work = Turns(), Work()
    await asyncio.gather(*(asyncio.create_task(_as(name, turns, work, 10)) for name in "abcde"))
    assert (work.done, work.most, work.most_of_one) == (50, AT_ONCE, 1)


async def test_who_asks_for_much_does_not_keep_others_waiting() -> None:
    """24 calls of one caller, then one of another: its turn comes with the next."""
    turns, work = Turns(), Work()
    many = asyncio.create_task(_as("many", turns, work, 24))
    await eventually(lambda: work.order, what="the first turn")
    before = len(work.order)
    await asyncio.create_task(_as("one", turns, work, 1))
    assert work.order.index("one") <= before + 3
    await many


@pytest.mark.parametrize(("crowd", "rest"), [(0, 0.01), (1, 0.04), (5, 0.04)])
async def test_a_rest_of_half_of_what_the_last_took_and_of_twice_that_in_a_crowd(
    crowd: int, rest: float
) -> None:
    now = 100.0
    turns = Turns(clock=lambda: now).of("one")
    rests: list[float] = []

    async def slow() -> None:
        nonlocal now
        await asyncio.sleep(0)
        now += 0.02

    async def more() -> None:
        await asyncio.sleep(0)

    async def first() -> None:
        await turns.take(slow)
        rests.append(turns._rests_until - now)

    await asyncio.gather(first(), *(turns.take(more) for _ in range(crowd)))
    assert rests == [pytest.approx(rest)]


async def test_an_operation_alone_rests_between_its_steps() -> None:
    """Two thirds of the time at most are its own."""
    steps, started = Steps(Turns().of("one")), time.monotonic()
    for _ in range(4):
        await steps.run(partial(asyncio.sleep, 0.02))
    assert time.monotonic() - started >= 4 * 0.02 + 3 * 0.01 - 0.001


async def test_a_caller_who_left_leaves_nothing() -> None:
    turns = Turns()
    await turns.of("one").take(partial(asyncio.sleep, 0))
    gc.collect()
    assert not turns._of


async def test_pages_that_wait_are_a_crowd_too() -> None:
    turns = Turns().of("one")
    seen: list[int] = []

    async def page() -> None:
        async with turns.page():
            await turns.take(partial(asyncio.sleep, 0))
            seen.append(turns._waiting)

    await asyncio.gather(page(), page(), page())
    assert seen == [2, 1, 0]


async def test_a_failure_and_a_caller_that_left_free_the_turn() -> None:
    turns, work = Turns().of("one"), Work()

    async def fail() -> None:
        raise ValueError

    with pytest.raises(ValueError):
        await turns.take(fail)
    entered = asyncio.Event()

    async def hang() -> None:
        entered.set()
        await asyncio.Event().wait()

    hanging = asyncio.create_task(turns.take(hang))
    await entered.wait()
    waiting = asyncio.create_task(turns.take(partial(work.of, "one")))
    await asyncio.sleep(0)
    waiting.cancel()
    hanging.cancel()
    await asyncio.gather(waiting, hanging, return_exceptions=True)
    await turns.take(partial(work.of, "one"))
    assert work.done == 1


@pytest.mark.parametrize(
    ("seconds", "ends_at"), [(0.02, STEP_JOBS_MIN), (0.001, STEP_JOBS_MAX), (0.005, 200)]
)
async def test_a_step_follows_what_the_last_took(seconds: float, ends_at: int) -> None:
    now = 0.0
    steps = Steps(Turns(clock=lambda: 0.0).of("one"), clock=lambda: now)

    async def work() -> None:
        nonlocal now
        now += seconds

    for _ in range(10):
        await steps.run(work)
    assert steps.jobs == ends_at
