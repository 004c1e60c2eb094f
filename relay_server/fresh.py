"""A value that many callers want at once: made once, and shared for a moment."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

Value = TypeVar("Value")


class Fresh(Generic[Value]):
    """Makes the value when a caller asks and the last one is older than `for_s` seconds. All callers share one making.

    A caller that is cancelled does not stop it. A failure is raised to the waiting callers, and is not kept. `part`
    bounds the part of the time that making may take: a value that is slow to make is kept for longer than `for_s`.
    """

    def __init__(
        self,
        make: Callable[[], Coroutine[Any, Any, Value]],
        *,
        for_s: float,
        part: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._make = make
        self._for_s = for_s
        self._rest = 1 / part - 1  # the pause after a making, as a multiple of its time
        self._clock = clock
        self._last: tuple[Value, float] | None = None  # the value, and until when it is good
        self._task: asyncio.Task[Value] | None = None

    async def get(self) -> Value:
        """The value; what `make` raises."""
        if self._last is not None and self.left_s > 0:
            return self._last[0]
        if self._task is None:
            self._task = asyncio.create_task(self._make_again())
            self._task.add_done_callback(self._end_task)
        return await asyncio.shield(self._task)

    @property
    def left_s(self) -> float:
        """Seconds for which the last value is still good; 0: it is too old."""
        return max(0.0, self._last[1] - self._clock()) if self._last is not None else 0.0

    @property
    def is_over(self) -> bool:
        """Whether there is no good value and none is being made."""
        return self._task is None and not self.left_s

    async def _make_again(self) -> Value:
        began = self._clock()
        value = await self._make()
        ended = self._clock()
        self._last = value, ended + max(self._for_s, (ended - began) * self._rest)
        return value

    def _end_task(self, task: "asyncio.Task[Value]") -> None:
        self._task = None
        if not task.cancelled():
            task.exception()  # marks it as seen, if every caller was cancelled
