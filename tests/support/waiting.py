"""Waits for what becomes true by itself, instead of for a time."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

WITHIN_S = 10.0


async def eventually(
    condition: Callable[[], Any], *, within: float = WITHIN_S, what: str = "the condition"
) -> Any:
    """Polls until the condition is true and returns its value. AssertionError with the last value after `within` s."""
    ends = time.monotonic() + within
    while True:
        value = condition()
        if isinstance(value, Awaitable):
            value = await value
        if value:
            return value
        assert time.monotonic() < ends, f"{what} did not come true within {within:g} s; last: {value!r}"
        await asyncio.sleep(0.005)


def until(condition: Callable[[], Any], within: float = WITHIN_S, *, what: str = "the condition") -> Any:
    """The same where there is no event loop."""
    ends = time.monotonic() + within
    while not (value := condition()):
        assert time.monotonic() < ends, f"{what} did not come true within {within:g} s; last: {value!r}"
        time.sleep(0.005)
    return value
