"""The one poller behind all streams that watch queues on this server; it runs while anyone watches."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from relay_server import errors
from relay_server.engine.snapshots import Snapshots
from relay_server.fresh import Fresh

# The part of this server's time that reading watched queues may take.
READING_PART = 0.1


class StatsFeed:
    """Refreshes the snapshots once a second while anyone watches, and gives every watcher the number of the version.

    At most twice a second when watchers come and go; less often while reading the queues in use would take more
    than READING_PART of the time.
    """

    def __init__(self, snapshots: Snapshots, *, interval_s: float = 1.0) -> None:
        self.snapshots = snapshots
        self._fresh = Fresh(self._refreshed, for_s=interval_s / 2, part=READING_PART)
        self._interval_s = interval_s
        self._watchers: set[asyncio.Queue[int | Exception]] = set()
        self._poller: asyncio.Task[None] | None = None
        self._last = 0
        self._closed = False

    @property
    def polling(self) -> bool:
        """Whether the snapshots are being refreshed."""
        return self._poller is not None

    @contextmanager
    def watching(self) -> Iterator[Callable[[], Awaitable[int]]]:
        """Gives a function that waits for the next version of the snapshots; the first comes at once. It raises
        Draining after `close`, and StoreUnavailable when the store cannot be read."""
        mine: asyncio.Queue[int | Exception] = asyncio.Queue(maxsize=1)
        if self._closed:
            mine.put_nowait(_draining())
        elif self._last:
            mine.put_nowait(self._last)
        self._watchers.add(mine)
        if not self.polling and not self._closed:
            self._poller = asyncio.create_task(self._poll(), name="stats-feed")

        async def following() -> int:
            version = await mine.get()
            if isinstance(version, Exception):
                raise version
            return version

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
        self._notify(_draining())

    def _stop(self) -> None:
        if self._poller is not None:
            self._poller.cancel()
        self._poller, self._last = None, 0

    async def _refreshed(self) -> int:
        await self.snapshots.refresh()
        return self.snapshots.version

    async def _poll(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        try:
            while True:
                self._last = await self._fresh.get()
                self._notify(self._last)
                due = max(due + self._interval_s, loop.time() + self._fresh.left_s)
                await asyncio.sleep(due - loop.time())
        except Exception as error:  # noqa: BLE001 - each watcher raises it to its caller
            self._poller, self._last = None, 0
            self._notify(error)

    def _notify(self, version: int | Exception) -> None:
        for watcher in self._watchers:
            if watcher.full():  # a slow reader skips versions; the newest brings it all changes
                watcher.get_nowait()
            watcher.put_nowait(version)


def _draining() -> errors.Draining:
    return errors.Draining(retry_after_ms=1000)
