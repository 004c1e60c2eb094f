"""The certificate of the gRPC port, exchanged so that no thread of gRPC uses memory that the exchange frees.

gRPC calls `_take` under a lock at each handshake. When that returns a new configuration, gRPC frees its objects of the
old one, while another thread, past the lock, may be about to begin a handshake with them. A connection in the middle of
its handshake keeps those objects alive, so a connection of our own stands there during each exchange (ADR 0008).
"""

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Awaitable
from typing import TypeVar

import grpc

from relay_server.ports import split_address

RENEWALS_APART_S = 2.0  # changes within this time are renewed together
HELD_S = 10.0  # ample: a thread past gRPC's lock needs microseconds
_WITHIN_S = 5.0
# Addresses that stand for every interface; for each of them gRPC listens on IPv4 and IPv6.
_ANYWHERE = dict.fromkeys(("", "0.0.0.0", "::"), "127.0.0.1")  # noqa: S104

T = TypeVar("T")


class PortCertificate:
    """The certificate of one gRPC port, bound with `credentials`. One exchange at a time, RENEWALS_APART_S apart."""

    def __init__(
        self, configuration: "grpc.ServerCertificateConfiguration", *, of_clients: bool = False
    ) -> None:
        self._lock = threading.Lock()
        self._next: grpc.ServerCertificateConfiguration | None = None
        self._held: set[asyncio.StreamWriter] = set()
        self.credentials = grpc.dynamic_ssl_server_credentials(
            configuration,
            self._take,  # type: ignore[arg-type] # it may also answer None
            of_clients,
        )

    def _take(self) -> "grpc.ServerCertificateConfiguration | None":
        """Called by gRPC's threads at each handshake: the new configuration, once; otherwise None, for no change."""
        with self._lock:
            taken, self._next = self._next, None
            return taken

    def _give(self, configuration: "grpc.ServerCertificateConfiguration | None") -> None:
        with self._lock:
            self._next = configuration

    async def exchange(
        self, new: "grpc.ServerCertificateConfiguration", certificate: bytes, address: str
    ) -> None:
        """Returns when a new connection to `address` gets `certificate` (DER; empty: any). OSError: try again."""
        held = await _within(_half_a_handshake(address), address)
        try:
            self._give(new)
            shown = await _within(_shown_by(address), address)
        finally:
            self._give(None)  # gRPC must not take it later, when nothing keeps the old objects alive
            self._held.add(held)
            asyncio.get_running_loop().call_later(HELD_S, self._let_go, held)
        if certificate and shown != certificate:
            raise ConnectionError(f"gRPC does not show the new certificate at {address}")

    def _let_go(self, held: asyncio.StreamWriter) -> None:
        self._held.discard(held)
        held.transport.abort()

    def close(self) -> None:
        """Closes the connections that keep old objects alive; call it when the port is closed."""
        for held in tuple(self._held):
            self._let_go(held)


async def try_out(credentials: grpc.ServerCredentials) -> None:
    """Raises ValueError when gRPC, which has its own TLS library, cannot use these credentials' files."""
    server = grpc.aio.server()
    try:
        server.add_secure_port("127.0.0.1:0", credentials)
    except RuntimeError:
        raise ValueError("gRPC cannot use these files; its own words are on standard error") from None
    finally:
        await server.stop(None)


def _client() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    # In TLS 1.3 the client gets the server's certificate before it must show its own.
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["h2"])
    return context


async def _within(work: Awaitable[T], address: str) -> T:
    try:
        async with asyncio.timeout(_WITHIN_S):
            return await work
    except TimeoutError:
        raise ConnectionError(f"{address} ends no handshake within {_WITHIN_S:g} s") from None


async def _half_a_handshake(address: str) -> asyncio.StreamWriter:
    """A connection in the middle of its handshake: gRPC has answered our hello, and waits."""
    reader, writer = await _connected(address)
    hello = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        _client().wrap_bio(ssl.MemoryBIO(), hello).do_handshake()
    try:
        writer.write(hello.read())
        await reader.readexactly(1)
    except BaseException as error:
        writer.transport.abort()
        if isinstance(error, EOFError):
            raise ConnectionError(f"{address} closes a handshake that begins") from None
        raise
    return writer


async def _shown_by(address: str) -> bytes | None:
    _, writer = await _connected(address, _client())
    try:
        shown: bytes | None = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        return shown
    finally:
        writer.transport.abort()


async def _connected(
    address: str, tls: ssl.SSLContext | None = None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection to a listener of this process, also to one on every interface."""
    name = "localhost" if tls is not None else None
    if address.startswith("unix:"):
        path = address.removeprefix("unix:").removeprefix("//")
        return await asyncio.open_unix_connection(path, ssl=tls, server_hostname=name)
    host, port = split_address(address)
    try:
        return await asyncio.open_connection(
            _ANYWHERE.get(host, host), int(port), ssl=tls, server_hostname=name
        )
    except OSError:
        if host not in _ANYWHERE:
            raise
    return await asyncio.open_connection("::1", int(port), ssl=tls, server_hostname=name)
