"""Ends tasks for certain: on Python 3.11 asyncio.wait_for, which redis-py sends under, can lose a cancellation."""

import asyncio
from collections.abc import Iterable
from typing import Any

_AGAIN_S = 0.1


async def end(tasks: "Iterable[asyncio.Task[Any]]") -> None:
    """Cancels the tasks until each has ended. Their errors are left in them."""
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_AGAIN_S)
