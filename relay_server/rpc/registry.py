"""Notes this server's sessions where every server can list them: one write for all that changed."""

import asyncio
import json
from collections.abc import Callable, Iterable
from contextlib import suppress

from relay_server import errors
from relay_server.engine.directory import Directory
from relay_server.rpc.sessions import Session

FLUSH_S = 1.0
RENEW_S = 15.0


class WorkerRegistry:
    """Entries are written when a stream opens or closes, and all of them every `RENEW_S`, however many there are."""

    def __init__(self, directory: Directory, server_id: str) -> None:
        self._directory = directory
        self._server_id = server_id
        self._changed: dict[str, tuple[Session, bool]] = {}
        self._wanted = asyncio.Event()

    def note(self, session: Session, *, connected: bool) -> None:
        """To be written with the next flush."""
        self._changed[session.key] = (session, connected)
        self._wanted.set()

    async def run(self, connected: Callable[[], Iterable[Session]]) -> None:
        """Writes until cancelled; `connected` gives the sessions with a stream."""
        loop = asyncio.get_running_loop()
        renew_at = loop.time() + RENEW_S
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(renew_at):
                    await self._wanted.wait()
                await asyncio.sleep(FLUSH_S)
            if loop.time() >= renew_at:  # also when there is always something new
                renew_at = loop.time() + RENEW_S
                self._changed.update((session.key, (session, True)) for session in connected())
            self._wanted.clear()
            await self.flush()

    async def flush(self) -> None:
        changed, self._changed = self._changed, {}
        if not changed:
            return
        try:
            now_ms = await self._directory.now_ms()  # who lists them compares with the store's clock
            entries = {key: self._entry(*noted, now_ms) for key, noted in changed.items()}
            await self._directory.write_sessions(entries)
        except (errors.StoreUnavailable, errors.StoreOutOfMemory):
            return  # the next renewal notes them again

    def _entry(self, session: Session, connected: bool, now_ms: int) -> bytes:
        terms = session.terms
        entry = {
            "worker_id": terms.worker_id,
            "queues": sorted(terms.queues.items()),
            "max_in_flight": terms.max_in_flight,
            "in_flight": session.unsettled,
            "client_version": terms.client_version,
            "connect_ms": session.connected_ms,
            "seen_ms": now_ms,
            "server_id": self._server_id,
            "connected": connected,
        }
        return json.dumps(entry).encode()
