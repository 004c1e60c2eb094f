"""uvicorn's connection with time limits: it alone would wait for ever for the rest of a request, for a reader, and for
a connection to close.
"""

import asyncio
from typing import Any

import h11
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from relay_server.gateway.listening.connections import Connections, Held, State

# A client may send so much of its next requests before it has its answer.
AHEAD_BYTES_MAX = 64 << 10
_STALLED_S = 1.0  # after so long without reading, a connection may have to make room


class _Metered:
    """A transport that counts the bytes written to it; less those still in its buffer, they are the bytes sent."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.written = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        self.written += len(data)
        self._transport.write(data)


class HttpConnection(H11Protocol):
    """`check` ends it when a time limit is over. `full` is the application of a connection over the limit."""

    def __init__(self, held: Held, connections: Connections, *, full: ASGIApp, **given: Any) -> None:
        super().__init__(**given)
        self._held = held
        self._connections = connections
        self._limits = connections.limits
        self._serving = False
        self._noted = State.SILENT
        # A request has begun, or its rest is to come: further bytes do not extend its time.
        self._began = True
        self._due = self.loop.time() + self._limits.header_s
        self._taken = 0
        self._taken_at = self.loop.time()
        self._closing_at: float | None = None
        if held.extra:
            self.app = full

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        transport.set_write_buffer_limits(high=64 << 10)
        super().connection_made(_Metered(transport))  # type: ignore[arg-type]
        self._held.end = transport.abort
        self._due = self.loop.time() + self._limits.header_s

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.leave(self._held)
        self._held.end = lambda: None
        super().connection_lost(exc)
        self._unset_keepalive_if_required()  # after a bad end, uvicorn leaves this timer, which holds the connection

    def data_received(self, data: bytes) -> None:
        if not self._serving and not self._began:
            self._began, self._due = True, self.loop.time() + self._limits.header_s
        super().data_received(data)
        if self._noted is not State.STALLED:  # sending does not end a stall: only reading does
            self._note()
        if self.flow.read_paused and len(self.conn.trailing_data[0]) > AHEAD_BYTES_MAX:
            self.transport.abort()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._held.extra:
            self.transport.close()
        # The rest of an unread body is to come, or the next request has begun.
        self._began = self.conn.their_state is h11.SEND_BODY or bool(self.conn.trailing_data[0])
        self._due = self.loop.time() + (self._limits.header_s if self._began else self._limits.idle_s)
        self._note()

    def _note(self) -> None:
        self._serving = self.cycle is not None and not self.cycle.response_complete
        state = State.SERVED if self._serving else State.IDLE
        if self._serving and self.conn.their_state is h11.SEND_BODY:
            state = State.RECEIVING
        if self.cycle is not None and state is not self._noted:
            self._noted = state
            self._connections.now(self._held, state)

    def check(self, now: float) -> None:
        """Ends it when its time is over."""
        unread_s = self._unread_s(now)
        if unread_s >= self._limits.write_s or self._lingers(now) or (not self._serving and now >= self._due):
            self.transport.abort()  # close() would wait for the same reader
        elif unread_s >= _STALLED_S:
            self._noted = State.STALLED
            self._connections.now(self._held, State.STALLED)
        else:
            self._note()

    def _unread_s(self, now: float) -> float:
        """Seconds since the reader last took a byte, or 0 if no byte waits for it."""
        waiting = self.transport.get_write_buffer_size()
        metered: Any = self.transport
        taken = metered.written - waiting
        if not waiting or taken > self._taken:
            self._taken, self._taken_at = taken, now
        return now - self._taken_at

    def _lingers(self, now: float) -> bool:
        if not self.transport.is_closing():
            return False
        self._closing_at = self._closing_at or now
        return now - self._closing_at >= self._limits.write_s
