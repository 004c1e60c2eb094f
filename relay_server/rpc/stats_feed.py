"""The one poller behind all WatchStats streams of this server; it runs while anyone watches."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from relay_server import errors
from relay_server.fresh import Fresh
from relay_server.model import QueueSnapshot

Snapshots = list[QueueSnapshot]


class StatsFeed:
    """Reads all queues once a second and hands the same snapshot to every watcher. Watchers that come and go have them
    read twice a second at the most."""

    def __init__(
        self, read: Callable[[], Coroutine[Any, Any, Snapshots]], *, interval_s: float = 1.0
    ) -> None:
        self._fresh = Fresh(read, for_s=interval_s / 2)
        self._interval_s = interval_s
        self._watchers: set[asyncio.Queue[Snapshots | Exception]] = set()
        self._poller: asyncio.Task[None] | None = None
        self._last: Snapshots | None = None
        self._closed = False

    @property
    def polling(self) -> bool:
        return self._poller is not None

    @contextmanager
    def watching(self) -> Iterator[Callable[[], Awaitable[Snapshots]]]:
        """Gives what waits for the next snapshot; the first comes at once. That raises Draining after `close`, and
        StoreUnavailable when Redis cannot be read."""
        mine: asyncio.Queue[Snapshots | Exception] = asyncio.Queue(maxsize=1)
        if self._closed:
            mine.put_nowait(_draining())
        elif self._last is not None:
            mine.put_nowait(self._last)
        self._watchers.add(mine)
        if self._poller is None and not self._closed:
            self._poller = asyncio.create_task(self._poll(), name="stats-feed")

        async def following() -> Snapshots:
            news = await mine.get()
            if isinstance(news, Exception):
                raise news
            return news

        try:
            yield following
        finally:
            self._watchers.discard(mine)
            if not self._watchers:
                self._stop()

    def close(self) -> None:
        """Ends every stream with Draining, now and from now on."""
        self._closed = True
        self._stop()
        self._tell(_draining())

    def _stop(self) -> None:
        if self._poller is not None:
            self._poller.cancel()
        self._poller = self._last = None

    async def _poll(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        try:
            while True:
                self._last = await self._fresh.get()
                self._tell(self._last)
                due = max(due + self._interval_s, loop.time())
                await asyncio.sleep(due - loop.time())
        except Exception as error:  # noqa: BLE001 - each watcher raises it to its caller
            self._poller = self._last = None
            self._tell(error)

    def _tell(self, news: Snapshots | Exception) -> None:
        for watcher in self._watchers:
            if watcher.full():  # a slow reader misses snapshots, not the newest
                watcher.get_nowait()
            watcher.put_nowait(news)


def _draining() -> errors.Draining:
    return errors.Draining(retry_after_ms=1000)
