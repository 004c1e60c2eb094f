"""Lets one HTTP request begin in each turn of the event loop, so that a flood of them leaves the turns short.

A call by gRPC takes several turns. Were fifty requests to begin in each, it would wait for hundreds of them.
"""

import asyncio
from collections import deque


class Pace:
    """The pace of one listener: first come, first served."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._taken = False

    async def take(self) -> None:
        """Returns in a turn of the loop that no other request has."""
        loop = asyncio.get_running_loop()
        if self._taken:
            mine = loop.create_future()
            self._waiting.append(mine)
            await mine
            return
        self._taken = True
        loop.call_soon(self._next, loop)

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._waiting:
            first = self._waiting.popleft()
            if not first.done():  # its connection may be gone
                first.set_result(None)
                loop.call_soon(self._next, loop)
                return
        self._taken = False
