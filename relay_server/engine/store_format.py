"""The number in `relay:format`: which format everything in the store is in, and whether this server may touch it."""

from typing import Any

import structlog

from relay_server import errors
from relay_server.engine import keys
from relay_server.engine.domain_errors import domain_error
from relay_server.storage.errors import StoreFormatRefused
from relay_server.storage.failures import FAILURES
from relay_server.storage.link import Link

_log = structlog.get_logger(__name__)

FORMAT = 1


class StoreFormat:
    """Looked at before anything else at the start, and now and then later: a failover may lead to another store.

    `number` is what the store is in, 0 before the first look.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self.number = 0

    async def read_or_set(self) -> None:
        """Reads the number; an empty store gets this version's. Raises StoreFormatRefused, or StoreUnavailable."""
        raw = await self._read()
        if raw is None:
            if await self._holds_queues():
                raise StoreFormatRefused(_UNNUMBERED)
            await self._write()
            raw = await self._read()  # another server may have been first
        self.number = _number_in(raw)

    async def look_again(self) -> None:
        """Raises StoreFormatRefused when the store is in a newer format now. A number that is gone is written again.

        A store that cannot be asked is for others to notice.
        """
        try:
            raw = await self._read()
            if raw is None:
                await self._write()
                _log.warning("store_format_missing", consequence=f"written again as {FORMAT}")
                return
        except (errors.StoreUnavailable, errors.StoreOutOfMemory):
            return
        except FAILURES as error:
            # A proxy's own words, or a right that is missing: no reason to end this server.
            _log.warning("store_format_unknown", error=repr(error))
            return
        self.number = _number_in(raw)

    async def _read(self) -> bytes | None:
        raw: list[bytes | None] = await self._call("MGET", keys.FORMAT)
        return raw[0]

    async def _holds_queues(self) -> bool:
        return bool(await self._call("TYPE", keys.QUEUES) != b"none")

    async def _write(self) -> None:
        await self._call("SET", keys.FORMAT, str(FORMAT), "NX")

    async def _call(self, name: str, key: bytes, *words: str) -> Any:
        try:
            return await self._link.execute(name, key, *words, key=key)
        except FAILURES as error:
            raise domain_error(error) from error


def _number_in(raw: bytes | None) -> int:
    text = (raw or b"").decode(errors="replace")
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    if number > FORMAT:
        raise StoreFormatRefused(
            f"the store is in format {number}, and this version of relay-server knows format {FORMAT} and no newer "
            "one. Start the version that wrote it, or a later one; or give this one a store of its own (--redis-url, "
            "--data-dir)."
        )
    if number < 1:
        raise StoreFormatRefused(
            f"the store's format is {text[:40]!r}, which is no number of a format; this version of relay-server writes "
            f"{FORMAT}. If its data is of this version: redis-cli SET {keys.FORMAT.decode()} {FORMAT}"
        )
    return number


_UNNUMBERED = (
    "the store holds queues of Relay and does not say in which format: a version from before the first release wrote "
    f"them, and this one reads numbered formats only, 1 to {FORMAT}. Work them off with that version, or give this one "
    "a store of its own (--redis-url, --data-dir), or delete them: redis-cli --scan --pattern 'relay:*' | xargs "
    "redis-cli UNLINK. "
    f"If this version wrote them and the number alone was lost: redis-cli SET {keys.FORMAT.decode()} {FORMAT}"
)
