"""Runs the HTTP application on uvicorn inside the server's own event loop; signals stay the server's."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from relay_server.ports import open_socket

_GRACE_S = 2
_SEND_BUFFER_BYTES = 256 << 10
_KEEP_ALIVE_S = 30


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers, which would take SIGTERM from the program."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


class _Connection(H11Protocol):
    """uvicorn's, which waits for ever for the rest of a request that began."""

    _last_seen: object = None
    _ticking: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._tick()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._ticking is not None:
            self._ticking.cancel()
        # uvicorn's timer, when a client resets, would keep the connection for 30 s: with TLS, buffers of 256 KiB.
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def _tick(self) -> None:
        """Closes when no request has begun or gone on since the last look."""
        waits = self.cycle is None or self.cycle.response_complete
        if waits and self._ticking is not None and self.cycle is self._last_seen:
            self.transport.close()
            return
        self._last_seen = self.cycle
        self._ticking = self.loop.call_later(_KEEP_ALIVE_S, self._tick)


class HttpListener:
    """A running listener. `host` and `port` are where it listens."""

    def __init__(self, server: _Server, task: "asyncio.Task[None]", host: str, port: int) -> None:
        self.host = host
        self.port = port
        self._server = server
        self._task = task

    async def stop(self) -> None:
        """Accepts nothing more, gives open requests 2 s, and returns when all is closed."""
        self._server.should_exit = True
        await self._task


async def serve_http(app: ASGIApp, host: str, port: int, tls: ssl.SSLContext | None = None) -> HttpListener:
    """Listens, and returns when requests are answered; port 0 takes any free one. Raises PortUnavailable."""
    listener = open_socket(host, port, "--http")
    # Grown by the kernel to some MiB otherwise: a slow reader of a stream would get what was new minutes ago.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
    bound: tuple[str, int] = listener.getsockname()[:2]
    server = _Server(
        uvicorn.Config(
            app,
            http=_Connection,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            ws="none",
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=_GRACE_S,
            ssl_context_factory=(lambda *_: tls) if tls is not None else None,
        )
    )
    task = asyncio.create_task(server.serve(sockets=[listener]), name="http")
    ready = asyncio.create_task(server.ready.wait(), name="http-ready")
    try:
        await asyncio.wait({task, ready}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        ready.cancel()
    if task.done():
        listener.close()
        await task
    return HttpListener(server, task, *bound)
