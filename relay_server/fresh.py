"""What many ask for at once is made once, and is good for a moment."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

Made = TypeVar("Made")


class Fresh(Generic[Made]):
    """Makes a value when somebody asks and the last one is older than `for_s` seconds; one at a time, and all who ask
    meanwhile share it. A caller that leaves ends nothing. A failure goes to those who wait, and is not kept.

    `part` is the part of the time that making may take: what is slow to make is good for longer than `for_s`.
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
        self._rest = 1 / part - 1  # times what making took
        self._clock = clock
        self._made: tuple[Made, float] | None = None  # and until when it is good
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
        """How long the value that was made last is given again, in seconds; 0: no longer."""
        return max(0.0, self._made[1] - self._clock()) if self._made is not None else 0.0

    @property
    def is_over(self) -> bool:
        """Whether nothing is kept that would be given again."""
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
            making.exception()  # whoever asked has it; all of them may have left
