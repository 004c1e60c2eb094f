"""What the gRPC port shows in a handshake, exchanged so that no thread of gRPC's uses what the exchange frees.

gRPC asks a callback of ours at each handshake, under a lock. When that gives a new configuration, gRPC frees what it
made of the one before, while another thread, past the lock, may be about to begin a handshake with it. A connection
that stands in the middle of its handshake holds what it began with: one of our own does so during each exchange
(ADR 0008).
"""

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Awaitable
from typing import TypeVar

import grpc

from relay_server.config import split_address

RENEWALS_APART_S = 2.0  # what changes in between is renewed at once
HELD_S = 10.0  # a thread that is past gRPC's lock needs microseconds
_WITHIN_S = 5.0
# Where it may listen. gRPC takes both families for either.
_ANYWHERE = dict.fromkeys(("", "0.0.0.0", "::"), "127.0.0.1")  # noqa: S104

T = TypeVar("T")


class PortCertificate:
    """Of one gRPC port, on which `credentials` serves. One exchange at a time, RENEWALS_APART_S apart."""

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
        """gRPC's threads call it at each handshake. None, its word for no change, unless there is a new one: once."""
        with self._lock:
            taken, self._next = self._next, None
            return taken

    def _give(self, configuration: "grpc.ServerCertificateConfiguration | None") -> None:
        with self._lock:
            self._next = configuration

    async def exchange(
        self, new: "grpc.ServerCertificateConfiguration", certificate: bytes, address: str
    ) -> None:
        """Returns once a connection to `address` is shown `certificate` (DER; empty: any). OSError: try again."""
        held = await _within(_half_a_handshake(address), address)
        try:
            self._give(new)
            shown = await _within(_shown_by(address), address)
        finally:
            self._give(None)  # it must not be taken once nothing holds the one before
            self._held.add(held)
            asyncio.get_running_loop().call_later(HELD_S, self._let_go, held)
        if certificate and shown != certificate:
            raise ConnectionError(f"gRPC does not show the new certificate at {address}")

    def _let_go(self, held: asyncio.StreamWriter) -> None:
        self._held.discard(held)
        held.transport.abort()

    def close(self) -> None:
        """Lets go of all that is held; call it when the port is closed."""
        for held in tuple(self._held):
            self._let_go(held)


async def try_out(credentials: grpc.ServerCredentials) -> None:
    """Raises ValueError when gRPC itself, which has a TLS library of its own, cannot use what these are made of."""
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
    # Where a client is shown the certificate before it has to show one.
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
    """A connection on which gRPC has begun its side of the handshake, and waits for ours."""
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
    """To a listener of this process, wherever it listens."""
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
