"""Applies workers' reports of their windows, here or on the server that has the session, and opens what they free."""

import json
from collections.abc import Awaitable, Callable, Sequence

from relay_server import errors
from relay_server.claims.dispatchers import Dispatchers
from relay_server.claims.session import Report
from relay_server.claims.sessions import Sessions
from relay_server.model import Lease


class Windows:
    """Called after every settle and every extend, on whatever server the worker called."""

    def __init__(
        self,
        server_id: str,
        sessions: Sessions,
        dispatchers: Dispatchers,
        tell_server: Callable[[str, bytes], Awaitable[None]],
    ) -> None:
        self._server_id = server_id
        self._sessions = sessions
        self._dispatchers = dispatchers
        self._tell_server = tell_server

    async def after(
        self, principal: str, report: Report | None, named: Sequence[Lease], *, ended: Sequence[Lease]
    ) -> None:
        """A call that named these leases is done, and some of them ended by it. `report` came with the call.

        Never raises: a report that is lost is made again when the worker sees a KeepAlive that disagrees.
        """
        self._mark_holders_alive(named)
        self._forget(ended, counted=report is not None)
        if report is None:
            return
        # By the server of the id and not by the key: a session that went to another server has the same key here
        # until its grace ends.
        server_id, _ = self._sessions.split(report.session_id)
        if server_id == self._server_id:
            self._apply(principal, report)
        elif server_id:
            try:
                await self._tell_server(server_id, _packed(principal, report))
            except errors.StoreUnavailable:
                return

    def forwarded(self, message: bytes) -> None:
        """A report that reached another server; an empty message says only that the channel is open."""
        if message:
            self._apply(*_unpacked(message))

    def _mark_holders_alive(self, leases: Sequence[Lease]) -> None:
        """Whoever holds these leases is alive."""
        for token in {lease.token for lease in leases}:
            session = self._sessions.holder(token)
            if session is None:
                continue
            was_silent = session.silent
            session.mark_alive()
            if was_silent:
                self._dispatchers.window_opened(session)

    def _forget(self, leases: Sequence[Lease], *, counted: bool) -> None:
        by_token: dict[bytes, list[bytes]] = {}
        for lease in leases:
            by_token.setdefault(lease.token, []).append(lease.id)
        for token, ids in by_token.items():
            session = self._sessions.forget(token, ids, counted=counted)
            if session is not None and not counted:
                self._dispatchers.window_opened(session)

    def _apply(self, principal: str, report: Report) -> None:
        session = self._sessions.find(report.session_id, principal)
        if session is None:
            return
        was_silent = session.silent
        if session.restate(report) or was_silent:
            self._dispatchers.window_opened(session)


def _packed(principal: str, report: Report) -> bytes:
    """`principal` made the report: the session must be its own there, too."""
    return json.dumps(
        (principal, report.session_id, report.received, report.in_flight, report.seq, report.stream)
    ).encode()


def _unpacked(message: bytes) -> tuple[str, Report]:
    principal, session_id, *counts = json.loads(message)
    received, in_flight, seq, stream = map(int, counts)
    return principal, Report(
        session_id=session_id, received=received, in_flight=in_flight, seq=seq, stream=stream
    )
