"""Notes this server's sessions in the roster, where every server can list them, and removes them when they end."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress

from relay_server import errors
from relay_server.claims.session import Session
from relay_server.engine.roster import Roster, WorkerEntry, chunks

FLUSH_S = 1.0
RENEW_S = 15.0


class RosterWriter:
    """Entries are written when a stream opens or breaks, and all of them every `RENEW_S`, some in each script.

    A session that comes and goes between two flushes is never written.
    """

    def __init__(self, roster: Roster, server_id: str) -> None:
        self._roster = roster
        self._server_id = server_id
        self._changed: dict[str, tuple[Session, bool] | None] = {}
        self._entered: set[str] = set()
        self._wanted = asyncio.Event()

    def note(self, session: Session, *, connected: bool) -> None:
        """To be written with the next flush."""
        self._changed[session.key] = (session, connected)
        self._wanted.set()

    def forget(self, session: Session) -> None:
        """The session has ended: its entry goes with the next flush."""
        if session.key in self._entered:
            self._changed[session.key] = None
            self._wanted.set()
        else:
            self._changed.pop(session.key, None)

    async def run(self, connected: Callable[[], Iterable[Session]]) -> None:
        """Writes until cancelled; `connected` gives the sessions with a stream."""
        loop = asyncio.get_running_loop()
        renew_at = loop.time() + RENEW_S
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(renew_at):
                    await self._wanted.wait()
                await asyncio.sleep(FLUSH_S)
            renewing = loop.time() >= renew_at  # also when there is always something new
            if renewing:
                renew_at = loop.time() + RENEW_S
                for session in connected():
                    self._changed.setdefault(session.key, (session, True))
            self._wanted.clear()
            await self.flush()
            if renewing:
                await self.sweep()

    async def flush(self) -> None:
        """Writes the changes. If the store refuses, the next renewal tries again.

        Entries that nobody renews are removed after a minute.
        """
        changed, self._changed = self._changed, {}
        # Also when the outcome is unknown.
        self._entered.update(key for key, noted in changed.items() if noted)
        self._entered.difference_update(key for key, noted in changed.items() if not noted)
        entries = ((key, noted and self._entry(*noted)) for key, noted in changed.items())
        with suppress(errors.StoreUnavailable, errors.StoreOutOfMemory):
            for part in chunks(entries):
                await self._roster.note(self._server_id, part)

    async def sweep(self) -> None:
        """Removes the entries that servers left behind, some in each script."""
        with suppress(errors.StoreUnavailable, errors.StoreOutOfMemory):
            while await self._roster.note(self._server_id, {}):
                pass

    def _entry(self, session: Session, connected: bool) -> WorkerEntry:
        terms = session.terms
        return WorkerEntry(
            session_id=session.key,
            worker_id=terms.worker_id,
            queues=tuple(sorted(terms.queues.items())),
            max_in_flight=terms.max_in_flight,
            in_flight=session.unsettled,
            client_version=terms.client_version,
            connect_ms=session.connected_ms,
            server_id=self._server_id,
            connected=connected,
            owner=session.principal,
        )
