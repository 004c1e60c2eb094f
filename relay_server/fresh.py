"""What many ask for at once is made once, and is good for a moment."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

Made = TypeVar("Made")


class Fresh(Generic[Made]):
    """Makes a value when somebody asks and the last one is older than `for_s` seconds; one at a time, and all who ask
    meanwhile share it. A caller that leaves ends nothing. A failure goes to those who wait, and is not kept."""

    def __init__(
        self,
        make: Callable[[], Coroutine[Any, Any, Made]],
        *,
        for_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._make = make
        self._for_s = for_s
        self._clock = clock
        self._made: tuple[Made, float] | None = None
        self._making: asyncio.Task[Made] | None = None

    async def get(self) -> Made:
        """The value; what `make` raises."""
        if self._made is not None and self._clock() - self._made[1] < self._for_s:
            return self._made[0]
        if self._making is None:
            self._making = asyncio.create_task(self._remade())
            self._making.add_done_callback(self._ended)
        return await asyncio.shield(self._making)

    @property
    def is_over(self) -> bool:
        """Whether nothing is kept that would be given again."""
        if self._making is not None:
            return False
        return self._made is None or self._clock() - self._made[1] >= self._for_s

    async def _remade(self) -> Made:
        made = await self._make()
        self._made = (made, self._clock())
        return made

    def _ended(self, making: "asyncio.Task[Made]") -> None:
        self._making = None
        if not making.cancelled():
            making.exception()  # whoever asked has it; all of them may have left
