"""Accepts connections: counts each before it costs anything, and gives its TLS handshake a time limit."""

import asyncio
import contextlib
import errno
import socket
import ssl
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from relay_server.gateway.listening.connections import Connections, Held
from relay_server.security.brake import Brake

_log = structlog.get_logger(__name__)

_WAITING_MAX = 1024  # connections in the kernel, not accepted yet
_OUT_OF = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_NO_LISTENER = frozenset({errno.EBADF, errno.EINVAL, errno.ENOTSOCK})
_AGAIN_S = 0.1
_IN_A_ROW, _IN_A_ROW_TLS = 8, 1  # accepted before the loop has a turn; a TLS handshake costs 1 to 2 ms
_WARNINGS_PER_MINUTE_MAX = 2
# The kernel notices a peer that vanished, or that takes nothing.
_PROBE_AFTER_S, _PROBE_EVERY_S, _PROBES = 30, 10, 3


class Acceptor:
    """Stands for an asyncio.Server: uvicorn closes it at its end. `make` gives the protocol of a connection."""

    def __init__(
        self,
        listener: socket.socket,
        connections: Connections,
        make: Callable[[Held], asyncio.BaseProtocol],
        tls: ssl.SSLContext | None,
    ) -> None:
        self._listener = listener
        self._connections = connections
        self._make = make
        self._tls = tls
        self._tasks: set[asyncio.Task[None]] = set()
        self._brake = Brake(_WARNINGS_PER_MINUTE_MAX)
        listener.listen(_WAITING_MAX)
        self._start(self._accept())

    def close(self) -> None:
        """Accepts no more, and cuts off connections whose TLS handshake is not done."""
        for task in self._tasks:
            task.cancel()

    async def wait_closed(self) -> None:
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _start(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _accept(self) -> None:
        loop, row = asyncio.get_running_loop(), 0
        most = _IN_A_ROW if self._tls is None else _IN_A_ROW_TLS
        while True:
            try:
                own, place = await loop.sock_accept(self._listener)
            except OSError as error:
                if error.errno in _NO_LISTENER:
                    raise
                if error.errno in _OUT_OF:
                    await self._out_of(error)
                continue
            self._admit(own, str(place[0]))
            row += 1
            if row % most == 0:
                await asyncio.sleep(0)

    async def _out_of(self, error: OSError) -> None:
        self._connections.shed()
        if not self._brake.wait_s(""):
            _log.warning("http_not_accepted", error=str(error))
        await asyncio.sleep(_AGAIN_S)

    def _admit(self, own: socket.socket, peer: str) -> None:
        held = self._connections.enter(peer)
        if held is None:
            own.close()
            return
        taking = self._start(self._take(own, held))
        # A task that is cancelled before it begins would leave the socket open.
        taking.add_done_callback(lambda task: own.close() if task.cancelled() else None)
        held.end = taking.cancel

    async def _take(self, own: socket.socket, held: Held) -> None:
        limits = self._connections.limits
        times = {"ssl_handshake_timeout": limits.header_s, "ssl_shutdown_timeout": limits.write_s}
        try:
            _set_up(own, limits.write_s)
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: self._make(held), own, ssl=self._tls, **(times if self._tls is not None else {})
            )
        except BaseException as error:
            self._connections.leave(held)
            own.close()
            # OSError: the client left, spoke no TLS, showed no certificate, or took too long.
            if not isinstance(error, OSError):
                raise


def _set_up(own: socket.socket, write_s: float) -> None:
    own.setblocking(False)
    own.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    own.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    with contextlib.suppress(AttributeError):  # some systems lack these options
        own.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _PROBE_AFTER_S)
        own.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _PROBE_EVERY_S)
        own.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _PROBES)
        own.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(write_s * 1000))
