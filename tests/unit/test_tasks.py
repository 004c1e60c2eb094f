"""Some of many at a time: in order, never more at once, and none left when one fails."""

import asyncio

import pytest

from relay_server.tasks import each


async def test_results_are_in_the_order_of_the_items() -> None:
    async def late(n: int) -> int:
        for _ in range(5 - n):
            await asyncio.sleep(0)
        return n * n

    assert await each(range(5), late, at_once=3) == [0, 1, 4, 9, 16]
    assert await each([], late, at_once=3) == []


async def test_no_more_run_at_once_than_may() -> None:
    running = most = 0

    async def work(_: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1

    await each(range(100), work, at_once=4)
    assert most == 4


async def test_the_first_error_ends_it_and_leaves_nothing_running() -> None:
    before = asyncio.all_tasks()
    begun: list[int] = []

    async def work(n: int) -> None:
        begun.append(n)
        if n == 1:
            raise ValueError("one")
        await asyncio.sleep(3600)

    with pytest.raises(ValueError, match="one"):
        await each(range(100), work, at_once=2)
    assert begun == [0, 1]
    assert asyncio.all_tasks() == before


async def test_a_cancelled_caller_leaves_nothing_running() -> None:
    before = asyncio.all_tasks()
    task = asyncio.create_task(each(range(9), lambda _: asyncio.sleep(3600), at_once=4))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert asyncio.all_tasks() == before
