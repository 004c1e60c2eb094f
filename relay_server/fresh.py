"""A value that many callers want at once: made once, and shared for a moment."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

Made = TypeVar("Made")


class Fresh(Generic[Made]):
    """Makes the value when a caller asks and the last one is older than `for_s` seconds. All callers share one making.

    A caller that is cancelled does not stop it. A failure is raised to the waiting callers, and is not kept. `part`
    bounds the part of the time that making may take: a value that is slow to make is kept for longer than `for_s`.
    """

    def __init__(
        self,
        make: Callable[[], Coroutine[Any, Any, Made]],
        *,
        for_s: float,
        part: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._make = make
        self._for_s = for_s
        self._rest = 1 / part - 1  # the pause after a making, as a multiple of its time
        self._clock = clock
        self._made: tuple[Made, float] | None = None  # the value, and until when it is good
        self._making: asyncio.Task[Made] | None = None

    async def get(self) -> Made:
        """The value; what `make` raises."""
        if self._made is not None and self.left_s > 0:
            return self._made[0]
        if self._making is None:
            self._making = asyncio.create_task(self._remade())
            self._making.add_done_callback(self._ended)
        return await asyncio.shield(self._making)

    @property
    def left_s(self) -> float:
        """Seconds for which the last value is still good; 0: it is too old."""
        return max(0.0, self._made[1] - self._clock()) if self._made is not None else 0.0

    @property
    def is_over(self) -> bool:
        """Whether there is no good value and none is being made."""
        return self._making is None and not self.left_s

    async def _remade(self) -> Made:
        began = self._clock()
        made = await self._make()
        ended = self._clock()
        self._made = made, ended + max(self._for_s, (ended - began) * self._rest)
        return made

    def _ended(self, making: "asyncio.Task[Made]") -> None:
        self._making = None
        if not making.cancelled():
            making.exception()  # marks it as seen, if every caller was cancelled
