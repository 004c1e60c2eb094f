"""The keys that belong to no queue: which queues there are, and where servers hear each other."""

import time
from collections.abc import Callable
from typing import Any

from relay_server.engine import keys
from relay_server.engine.scripts import domain_error
from relay_server.errors import QueueNotFound, StoreOutOfMemory
from relay_server.storage.failures import FAILURES
from relay_server.storage.link import Link

_RENEW_S = 60.0
_REMEMBERED_MAX = 10_000


class Directory:
    """A queue is entered before its first write and again every minute, so that a queue with jobs is always listed."""

    def __init__(self, link: Link, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._link = link
        self._clock = clock
        self._entered: dict[str, float] = {}

    async def add(self, queue: str) -> None:
        """Enters a queue, at most once a minute. A full Redis takes no entry, and must not stop a claim for that."""
        now = self._clock()
        entered = self._entered.get(queue)
        if entered is not None and now - entered < _RENEW_S:
            return
        try:
            await self._call("SADD", keys.QUEUES, queue)
        except StoreOutOfMemory:
            return
        if len(self._entered) >= _REMEMBERED_MAX:
            self._entered.clear()
        self._entered[queue] = now

    async def remove(self, queue: str) -> None:
        self._entered.pop(queue, None)
        await self._call("SREM", keys.QUEUES, queue)

    async def names(self) -> list[str]:
        """All queues, sorted."""
        members: set[bytes] = await self._call("SMEMBERS", keys.QUEUES)
        return sorted(name.decode() for name in members)

    async def knows(self, queue: str) -> bool:
        return bool(await self._call("SISMEMBER", keys.QUEUES, queue))

    async def check_known(self, queue: str) -> None:
        """Raises QueueNotFound for a queue that nobody ever used."""
        if not await self.knows(queue):
            raise QueueNotFound(f"no queue {queue} has been seen", metadata={"queue": queue})

    async def read_hash(self, key: bytes) -> dict[bytes, bytes]:
        """A whole small hash, such as a queue's history."""
        return dict(await self._call("HGETALL", key))

    async def tell_server(self, server_id: str, message: bytes) -> None:
        """Publishes to another server of this store."""
        await self._call("SPUBLISH", keys.server_channel(server_id), message)

    async def _call(self, name: str, key: bytes, *words: bytes | str) -> Any:
        try:
            return await self._link.execute(name, key, *words, key=key)
        except FAILURES as error:
            raise domain_error(error) from error
