"""What workers say of their windows, here and on other servers, and what that opens."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

from relay.v1 import queue_service_pb2
from relay_server import errors, limits
from relay_server.claims.dispatchers import Dispatchers
from relay_server.claims.session import Report
from relay_server.claims.sessions import Sessions
from relay_server.model import Lease
from relay_server.rpc.validate import Checks
from relay_server.security.principals import caller


class Reporting(Protocol):
    """A request that may carry a WindowReport."""

    @property
    def window(self) -> queue_service_pb2.WindowReport: ...


class Windows:
    """Applies reports to the sessions of this server and forwards those of others."""

    def __init__(
        self,
        server_id: str,
        sessions: Sessions,
        dispatchers: Dispatchers,
        forward: Callable[[str, bytes], Awaitable[None]],
    ) -> None:
        self._server_id = server_id
        self._sessions = sessions
        self._dispatchers = dispatchers
        self._forward = forward

    def check(self, checks: Checks, request: Reporting) -> None:
        window = request.window
        if not window.session_id:
            return
        checks.text(window.session_id, "window.session_id", bytes_max=limits.SESSION_ID_BYTES_MAX)
        checks.number(window.in_flight, "window.in_flight", 0, limits.IN_FLIGHT_TOLD_MAX)
        checks.number(window.received, "window.received", 0, 2**62)

    def heard(self, leases: Iterable[Lease]) -> None:
        """A call that names these leases came here: who holds them is alive."""
        for token in {lease.token for lease in leases}:
            session = self._sessions.holder(token)
            if session is None:
                continue
            was_silent = session.silent
            session.heard()
            if was_silent:
                self._dispatchers.window_opened(session)

    def settled(self, request: Reporting, leases: Iterable[Lease]) -> None:
        """These leases ended in a call that came here; `request` may restate the window too."""
        restated = bool(request.window.session_id)
        by_token: dict[bytes, list[bytes]] = {}
        for lease in leases:
            by_token.setdefault(lease.token, []).append(lease.id)
        for token, ids in by_token.items():
            session = self._sessions.settled(token, ids, restated=restated)
            if session is not None and not restated:
                self._dispatchers.window_opened(session)

    async def restated(self, request: Reporting) -> None:
        """Applies the report, if the request has one."""
        window = request.window
        if not window.session_id:
            return
        owner = caller.get().name
        if self.apply(window, owner):
            return
        server_id, _ = self._sessions.split(window.session_id)
        if server_id and server_id != self._server_id:
            try:
                await self._forward(server_id, owner.encode() + b"\0" + window.SerializeToString())
            except errors.StoreUnavailable:
                return  # the worker restates when the next KeepAlive disagrees

    def apply(self, window: queue_service_pb2.WindowReport, owner: str) -> bool:
        """False when this principal has no such session here."""
        session = self._sessions.find(window.session_id, owner)
        if session is None:
            return False
        was_silent = session.silent
        report = Report(
            received=window.received, in_flight=window.in_flight, seq=window.seq, stream=window.stream
        )
        if session.restate(report) or was_silent:
            self._dispatchers.window_opened(session)
        return True

    def forwarded(self, message: bytes) -> None:
        """A report that reached another server; an empty message says only that the channel is open.

        Before the report stands the name of the principal who made it, and a zero byte.
        """
        if message:
            owner, _, window = message.partition(b"\0")
            self.apply(queue_service_pb2.WindowReport.FromString(window), owner.decode())
