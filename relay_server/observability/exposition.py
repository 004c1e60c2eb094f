"""The text of all metrics for scrapers, made in small steps so that the event loop can do other work in between."""

import asyncio
import gzip
import time
from collections.abc import Callable, Iterable

from relay_server.fresh import Fresh

FRESH_S = 1.0
_STEP_S = 0.001
_LEVEL = 4  # a tenth of the text's size, in a third of the time of the usual level 9


class Exposition:
    """Made at most once in `FRESH_S`, one at a time, however many ask and whether they wait for it."""

    def __init__(self, parts: Callable[[], Iterable[str]]) -> None:
        self._parts = parts
        self._text = Fresh(self._made, for_s=FRESH_S)
        self._packed = Fresh(self._made_packed, for_s=FRESH_S)

    async def text(self) -> bytes:
        """In Prometheus' text format."""
        return await self._text.get()

    async def packed(self) -> bytes:
        """The same, by gzip."""
        return await self._packed.get()

    async def _made(self) -> bytes:
        made: list[bytes] = []
        began = time.perf_counter()
        for part in self._parts():
            made.append(part.encode())
            if time.perf_counter() - began >= _STEP_S:
                await asyncio.sleep(0)
                began = time.perf_counter()
        return b"".join(made)

    async def _made_packed(self) -> bytes:
        text = await self._text.get()
        return await asyncio.to_thread(gzip.compress, text, _LEVEL, mtime=0)
