"""Reads what queues and other servers publish: jobs to claim or stop, window reports. Owns the pub/sub connection."""

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import structlog

from relay_server import tasks
from relay_server.engine import keys
from relay_server.engine.scripts import ScriptRunner
from relay_server.storage.failures import FAILURES

_log = structlog.get_logger(__name__)
_BACKOFF_S, _BACKOFF_MAX_S = 0.1, 5.0


class Connection(Protocol):
    """A pub/sub connection, as storage.Listener is. A subscription that takes effect is an empty message."""

    async def subscribe(self, *channels: str) -> None: ...
    async def unsubscribe(self, *channels: str) -> None: ...
    async def get(self) -> tuple[bytes, bytes] | None: ...
    async def aclose(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Ready:
    """Jobs may be claimed."""


@dataclass(frozen=True, slots=True)
class Due:
    """A job is due before all others that wait, at this time of the store's clock."""

    at_ms: int


@dataclass(frozen=True, slots=True)
class Cancelled:
    """An operator cancelled these jobs, which were in flight."""

    ids: frozenset[bytes]


@dataclass(frozen=True, slots=True)
class Subscribed:
    """The subscription took effect. Earlier messages are lost: look for yourself."""


WakeUp = Ready | Due | Cancelled | Subscribed
_ID_BYTES = 16


def parse_wake_up(message: bytes) -> WakeUp:
    """A message of a queue's channel, as lua/lib/wake.lua writes it. Raises ValueError for any other."""
    word, _, rest = message.partition(b" ")
    match word:
        case b"ready" if message == word:
            return Ready()
        case b"due":
            return Due(int(rest))
        case b"cancel" if rest and len(rest) % _ID_BYTES == 0:
            return Cancelled(frozenset(rest[at : at + _ID_BYTES] for at in range(0, len(rest), _ID_BYTES)))
        case b"" if not message:
            return Subscribed()
    raise ValueError(f"no message of a queue: {message[:64]!r}")


async def tell_server(scripts: ScriptRunner, server_id: str, message: bytes) -> None:
    """Publishes to another server of this store."""
    await scripts.command("SPUBLISH", keys.server_channel(server_id), message)


class Wakeups:
    """One connection for all channels of this server.

    What is published while nobody is subscribed is lost, so each time a subscription takes effect, the first time
    and after a reconnection, its listeners get an empty message; those of a queue get Subscribed.
    """

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect
        self._listeners: dict[bytes, list[Callable[[bytes], None]]] = {}
        self._wanted = asyncio.Event()
        self._changed: set[bytes] = set()
        self._failures = 0

    def listen(self, queue: str, listener: Callable[[WakeUp], None]) -> Callable[[], None]:
        """Calls `listener` with each message of the queue. Returns a function that ends it."""
        return self.listen_channel(keys.queue_keys(queue)["wake"], lambda raw: listener(parse_wake_up(raw)))

    def listen_channel(self, channel: bytes, listener: Callable[[bytes], None]) -> Callable[[], None]:
        self._listeners.setdefault(channel, []).append(listener)
        self._change(channel)

        def stop() -> None:
            listeners = self._listeners.get(channel, [])
            with suppress(ValueError):
                listeners.remove(listener)
            if not listeners:
                self._listeners.pop(channel, None)
                self._change(channel)

        return stop

    def _change(self, channel: bytes) -> None:
        self._changed.add(channel)
        self._wanted.set()

    async def run(self) -> None:
        """Listens until cancelled, reconnecting with full jitter."""
        while True:
            while not self._listeners:  # the event alone would not do: after a lost connection nobody sets it
                self._wanted.clear()
                await self._wanted.wait()
            connection = self._connect()
            try:
                await self._serve(connection)
            except FAILURES as error:
                self._failures += 1
                _log.warning("wakeups_lost", error=repr(error), failures=self._failures)
            finally:
                with suppress(*FAILURES):
                    await connection.aclose()
            await asyncio.sleep(
                random.uniform(0, min(_BACKOFF_MAX_S, _BACKOFF_S * 2 ** min(self._failures, 10)))
            )

    async def _serve(self, connection: Connection) -> None:
        """Listens on one connection until it fails."""
        self._changed.clear()  # before: what changes while we subscribe is for the task below
        await connection.subscribe(*(channel.decode() for channel in self._listeners))
        both = [
            asyncio.create_task(self._read(connection), name="wakeups-read"),
            asyncio.create_task(self._resubscribe(connection), name="wakeups-subscribe"),
        ]
        try:
            done, _ = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await tasks.end(both)
        for task in done:
            task.result()

    async def _read(self, connection: Connection) -> None:
        while True:
            message = await connection.get()
            if message is not None:
                self._failures = 0
                self._tell(*message)

    async def _resubscribe(self, connection: Connection) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            changed, self._changed = self._changed, set()
            added = [channel.decode() for channel in changed if channel in self._listeners]
            gone = [channel.decode() for channel in changed if channel not in self._listeners]
            if added:
                await connection.subscribe(*added)
            if gone:
                await connection.unsubscribe(*gone)

    def _tell(self, channel: bytes, message: bytes) -> None:
        for listener in list(self._listeners.get(channel, ())):
            try:
                listener(message)
            except Exception:  # noqa: BLE001 - one message that cannot be read must not end all others
                _log.exception("message_refused", channel=channel.decode(errors="replace"))
