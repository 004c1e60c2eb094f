"""Many tasks: a bounded number at a time, and cancelled for certain."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

# Starts work that no call waits for, under a name.
Spawn = Callable[[Coroutine[Any, Any, None], str], "asyncio.Task[None]"]

_AGAIN_S = 0.1


async def end(tasks: "Iterable[asyncio.Task[Any]]") -> None:
    """Cancels the tasks until each has ended. Their errors are left in them.

    Once is not enough: on Python 3.11 asyncio.wait_for, which redis-py sends under, can lose a cancellation.
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_AGAIN_S)


def chunks(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """The items, in order, up to `size` at a time."""
    left = iter(items)
    while chunk := list(islice(left, size)):
        yield chunk


async def each(
    items: Iterable[Item], work: Callable[[Item], Awaitable[Result]], *, at_once: int
) -> list[Result]:
    """The result of `work` for each item, in their order; `at_once` run at a time. The first error ends all.

    A task for every item would start in one turn of the event loop, and hold up all other calls meanwhile.
    """
    todo = list(items)
    results: list[Any] = [None] * len(todo)
    numbered = iter(enumerate(todo))

    async def some() -> None:
        for number, item in numbered:
            results[number] = await work(item)

    workers = [asyncio.create_task(some()) for _ in range(min(at_once, len(todo)))]
    try:
        await asyncio.gather(*workers)
    finally:
        await end(worker for worker in workers if not worker.done())
    return results
