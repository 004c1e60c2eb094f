"""The keys that belong to no queue and no name: which workers are connected. And small reads that need no script."""

from collections.abc import Mapping
from typing import Any

from relay_server.engine import keys
from relay_server.engine.scripts import domain_error
from relay_server.storage.failures import FAILURES
from relay_server.storage.link import Link


class Directory:
    """Sessions of workers, noted with the time they were seen, and messages between servers."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def now_ms(self) -> int:
        """The store's clock."""
        try:  # of the node with the sessions, whose times are compared with it
            seconds, micros = await self._link.execute("TIME", key=keys.WORKERS)
        except FAILURES as error:
            raise domain_error(error) from error
        return int(seconds) * 1000 + int(micros) // 1000

    async def write_sessions(self, entries: Mapping[str, bytes]) -> None:
        """Notes workers' sessions, with the time inside each entry."""
        if entries:
            pairs = [part for pair in entries.items() for part in pair]
            await self._call("HSET", keys.WORKERS, *pairs)

    async def remove_sessions(self, *session_ids: str) -> None:
        if session_ids:
            await self._call("HDEL", keys.WORKERS, *session_ids)

    async def sessions(self) -> dict[str, bytes]:
        """Every noted session, stale ones included."""
        entries: dict[bytes, bytes] = await self._call("HGETALL", keys.WORKERS)
        return {name.decode(): entry for name, entry in entries.items()}

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
