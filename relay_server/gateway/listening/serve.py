"""Runs an HTTP application on uvicorn inside the server's own event loop; signals stay the server's."""

import asyncio
import contextlib
import logging
import math
import socket
import ssl
from collections.abc import Callable, Iterator

import uvicorn
from starlette.types import ASGIApp

from relay_server.gateway.listening.acceptor import Acceptor
from relay_server.gateway.listening.connection import HttpConnection
from relay_server.gateway.listening.connections import ConnectionLimits, Connections, Held
from relay_server.gateway.listening.pace import Pace
from relay_server.gateway.listening.traffic import Traffic, full
from relay_server.ports import open_socket
from relay_server.security.brake import Brake

_GRACE_S = 2
# The kernel would let it grow to some MiB, and a slow reader of a stream would get minutes-old frames.
_SEND_BUFFER_BYTES = 128 << 10
_CHECK_EVERY_S = 1.0
_WARNINGS_PER_MINUTE_MAX = 10
_BY_ANYBODY = frozenset({"Invalid HTTP request received.", "Unsupported upgrade request."})


class _Braked(logging.Filter):
    """Limits the lines that uvicorn logs about broken requests, which anybody can send."""

    def __init__(self) -> None:
        super().__init__()
        self._brake = Brake(_WARNINGS_PER_MINUTE_MAX)

    def filter(self, record: logging.LogRecord) -> bool:
        return record.msg not in _BY_ANYBODY or not self._brake.wait_s("")


logging.getLogger("uvicorn.error").addFilter(_Braked())


class _Server(uvicorn.Server):
    """uvicorn with our own connections, and without its signal handlers, which would take SIGTERM from the program."""

    def __init__(
        self,
        app: ASGIApp,
        pace: Pace,
        config: uvicorn.Config,
        listener: socket.socket,
        connections: Connections,
    ) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()
        self._listener = listener
        self._connections = connections
        self._full = Traffic(full(app), pace)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        acceptor = Acceptor(self._listener, self._connections, self._connection, self.config.ssl)
        self.servers = [acceptor]  # type: ignore[list-item] # what uvicorn calls of an asyncio.Server
        self.started = True
        self.ready.set()

    def _connection(self, held: Held) -> HttpConnection:
        return HttpConnection(
            held,
            self._connections,
            full=self._full,
            config=self.config,
            server_state=self.server_state,
            app_state={},
        )

    async def check(self) -> None:
        """Ends connections whose time is over, until it is cancelled."""
        limits = self._connections.limits
        every_s = min(_CHECK_EVERY_S, limits.header_s / 4, limits.idle_s / 4, limits.write_s / 4)
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(every_s)
            for connection in list(self.server_state.connections):
                if isinstance(connection, HttpConnection):
                    connection.check(loop.time())


class HttpListener:
    """A running listener. `host` and `port` are where it listens."""

    def __init__(
        self,
        server: _Server,
        task: "asyncio.Task[None]",
        checking: "asyncio.Task[None]",
        host: str,
        port: int,
    ) -> None:
        self.host = host
        self.port = port
        self._server = server
        self._task = task
        self._checking = checking

    async def stop(self) -> None:
        """Accepts nothing more, gives open requests 2 s, and returns when all is closed."""
        self._server.should_exit = True
        await self._task
        self._checking.cancel()


async def serve_http(
    app: ASGIApp,
    host: str,
    port: int,
    tls: ssl.SSLContext | None = None,
    *,
    option: str = "--http",
    limits: ConnectionLimits | None = None,
    observe: Callable[[int], None] = lambda _: None,
) -> HttpListener:
    """Listens, and returns when requests are answered; port 0 takes any free one. Raises PortUnavailable, which names
    `option`. `observe` is called with the number of connections."""
    limits = limits or ConnectionLimits()
    listener = open_socket(host, port, option)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
    bound: tuple[str, int] = listener.getsockname()[:2]
    pace = Pace()
    config = uvicorn.Config(
        Traffic(app, pace),
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        http="h11",
        ws="none",
        timeout_keep_alive=math.ceil(limits.idle_s),
        timeout_graceful_shutdown=_GRACE_S,
        ssl_context_factory=(lambda *_: tls) if tls is not None else None,
    )
    server = _Server(app, pace, config, listener, Connections(limits, observe))
    task = asyncio.create_task(server.serve(sockets=[listener]), name="http")
    ready = asyncio.create_task(server.ready.wait(), name="http-ready")
    try:
        await asyncio.wait({task, ready}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        ready.cancel()
    if task.done():
        listener.close()
        await task
    checking = asyncio.create_task(server.check(), name="http-check")
    return HttpListener(server, task, checking, *bound)
