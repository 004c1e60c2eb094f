"""Runs the HTTP application on uvicorn inside the server's own event loop; signals stay the server's."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

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
