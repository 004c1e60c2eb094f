"""Connections of the HTTP listener over real sockets: how many, how long, and what one that is misused comes to."""

import asyncio
import contextlib
import errno
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from relay_server.gateway.listening.connections import ConnectionLimits
from relay_server.gateway.listening.serve import HttpListener, serve_http
from tests.support.credentials import Authority
from tests.support.http import request
from tests.support.waiting import eventually

WITHIN_S = 20
LARGE = 8 << 20
QUICK = ConnectionLimits(header_s=0.5, idle_s=0.5, write_s=0.5)
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Site:
    """A listener, and what its application saw."""

    def __init__(self) -> None:
        self.let_go = asyncio.Event()
        self.connections = 0
        self.listener: HttpListener
        self.bodies: list[bytes] = []

    @property
    def port(self) -> int:
        return self.listener.port

    async def hold(self, _request: Request) -> Response:
        await self.let_go.wait()
        return PlainTextResponse("held")

    async def large(self, _request: Request) -> Response:
        return PlainTextResponse(bytes(LARGE))

    async def small(self, _request: Request) -> Response:
        return PlainTextResponse("small")

    async def body(self, request: Request) -> Response:
        self.bodies.append(await request.body())
        return PlainTextResponse("read")

    def counted(self, connections: int) -> None:
        self.connections = connections


@asynccontextmanager
async def site(limits: ConnectionLimits, tls: ssl.SSLContext | None = None) -> AsyncIterator[Site]:
    it = Site()
    routes = [
        Route("/hold", it.hold),
        Route("/large", it.large),
        Route("/healthz", it.small),
        Route("/small", it.small),
        Route("/body", it.body, methods=["POST"]),
    ]
    it.listener = await serve_http(
        Starlette(routes=routes), "127.0.0.1", 0, tls, limits=limits, observe=it.counted
    )
    try:
        yield it
    finally:
        it.let_go.set()
        await asyncio.wait_for(it.listener.stop(), 10)


@asynccontextmanager
async def connected(port: int, *sent: bytes, read_bytes: int = 1 << 16) -> AsyncIterator[Connection]:
    own = socket.socket()
    own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, read_bytes)
    own.setblocking(False)
    await asyncio.get_running_loop().sock_connect(own, ("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(sock=own, limit=read_bytes)
    try:
        for part in sent:
            writer.write(part)
        yield reader, writer
    finally:
        writer.transport.abort()


def head(path: str, *more: str, verb: str = "GET") -> bytes:
    return "\r\n".join([f"{verb} {path} HTTP/1.1", "Host: localhost", *more, "", ""]).encode()


async def rest(reader: asyncio.StreamReader) -> bytes:
    """What comes until the server closes; a reset is an end, too."""
    got = b""
    with contextlib.suppress(ConnectionError):
        while part := await asyncio.wait_for(reader.read(1 << 16), WITHIN_S):
            got += part
    return got


@pytest.mark.parametrize(
    "dripped",
    [
        (b"",),
        (b"GET / HT", *[b"T"] * 100),
        (head("/small")[:-2], *[b"x: y\r\n"] * 100),
        (head("/hold", "Content-Length: 10", verb="POST"), *[b"x"] * 100),
    ],
    ids=["silent", "request line", "headers", "a body nobody wants"],
)
async def test_bytes_now_and_then_give_a_request_no_more_time(dripped: Sequence[bytes]) -> None:
    async with site(QUICK) as it, connected(it.port, dripped[0]) as (reader, writer):

        async def drip() -> None:
            for part in dripped[1:]:
                await asyncio.sleep(0.05)
                writer.write(part)

        dripping = asyncio.create_task(drip())
        got = await rest(reader)
        assert not dripping.done() or len(dripped) == 1, "it had all the time it wanted"
        dripping.cancel()
        assert got == b"" or got.startswith(b"HTTP/1.1 405")


async def test_an_answer_that_nobody_reads_ends_its_connection_and_is_not_copied_for_it() -> None:
    limits = ConnectionLimits(write_s=2.0)
    async with site(limits) as it, connected(it.port, head("/large") * 3, read_bytes=4096) as (_, writer):
        await eventually(lambda: it.connections == 1, what="the connection")
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await eventually(lambda: it.connections == 0, what="its end")


async def test_a_slow_reader_that_goes_on_reading_gets_all() -> None:
    limits = ConnectionLimits(write_s=2.0)
    async with site(limits) as it, connected(it.port, head("/large"), read_bytes=1 << 17) as (reader, _):
        await reader.readuntil(b"\r\n\r\n")
        got = 0
        while got < LARGE:  # takes longer than write_s
            got += len(await asyncio.wait_for(reader.read(1 << 17), WITHIN_S))
            await asyncio.sleep(0.05)


async def test_a_connection_that_is_used_is_kept_and_one_at_rest_is_not() -> None:
    limits = ConnectionLimits(header_s=2.0, idle_s=2.0)
    async with site(limits) as it, connected(it.port) as (reader, writer):
        for _ in range(4):
            writer.write(head("/small"))
            assert (await asyncio.wait_for(reader.readuntil(b"small"), WITHIN_S)).startswith(b"HTTP/1.1 200")
            await asyncio.sleep(0.7)  # shorter than idle_s, all together longer
        assert await rest(reader) == b""


async def test_when_full_idle_connections_make_room_and_busy_ones_do_not() -> None:
    async with site(ConnectionLimits(connections=4, per_address=4)) as it, AsyncExitStack() as stack:
        busy = [await stack.enter_async_context(connected(it.port, head("/hold"))) for _ in range(3)]
        resting = await stack.enter_async_context(connected(it.port, head("/small")))
        await asyncio.wait_for(resting[0].readuntil(b"small"), WITHIN_S)
        assert (await request(it.port, "GET", "/small")).status == 200
        assert await rest(resting[0]) == b""
        more = await stack.enter_async_context(connected(it.port, head("/hold")))
        await eventually(lambda: it.connections == 4, what="the fourth")
        refused = await request(it.port, "GET", "/small")
        assert (refused.status, refused.reason) == (503, "TOO_MANY_CONNECTIONS")
        assert (refused.headers["retry-after"], refused.headers["connection"]) == ("1", "close")
        assert (await request(it.port, "GET", "/healthz")).status == 200, "who looks after it gets in"
        it.let_go.set()
        for reader, _ in (*busy, more):
            await asyncio.wait_for(reader.readuntil(b"held"), WITHIN_S)


async def test_tls_that_is_not_agreed_in_time_ends(tmp_path: Path) -> None:
    cert, key = Authority(tmp_path).issue(tmp_path, "server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    async with site(QUICK, context) as it:
        for said in (b"", b"\x16\x03\x01\x02\x00"):
            async with connected(it.port, said) as (reader, _):
                await rest(reader)
            await eventually(lambda: it.connections == 0, what="its end")
    limits = ConnectionLimits(connections=2, per_address=2)
    async with site(limits, context) as it, AsyncExitStack() as stack:
        silent = [await stack.enter_async_context(connected(it.port)) for _ in range(4)]
        await eventually(lambda: it.connections == 2, what="as many as may be")
        assert [await rest(reader) for reader, _ in silent[:2]] == [b"", b""]


async def test_when_the_machine_has_no_more_files_one_at_rest_makes_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with site(ConnectionLimits()) as it, connected(it.port, head("/small")) as (resting, _):
        await asyncio.wait_for(resting.readuntil(b"small"), WITHIN_S)
        accept, refusals = asyncio.get_running_loop().sock_accept, [errno.EMFILE, errno.ECONNABORTED]

        async def refusing(listener: socket.socket) -> Any:
            taken = await accept(listener)
            if refusals:
                taken[0].close()
                raise OSError(refusals.pop(0), "none left")
            return taken

        monkeypatch.setattr(type(asyncio.get_running_loop()), "sock_accept", staticmethod(refusing))
        async with connected(it.port), connected(it.port), connected(it.port):
            assert await rest(resting) == b""
        assert (await request(it.port, "GET", "/small")).status == 200


SMUGGLED = {
    "both lengths": ("Content-Length: 4", "Transfer-Encoding: chunked"),
    "both, the other way round": ("Transfer-Encoding: chunked", "Content-Length: 4"),
    "two lengths": ("Content-Length: 4", "Content-Length: 5"),
    "chunked twice": ("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
    "another coding": ("Transfer-Encoding: gzip, chunked",),
    "a space before the colon": ("Transfer-Encoding : chunked",),
    "a sign": ("Content-Length: +4",),
}


@pytest.mark.parametrize("name", SMUGGLED)
async def test_a_request_whose_end_is_in_doubt_ends_the_connection(name: str) -> None:
    begun = head("/body", *SMUGGLED[name], verb="POST")
    hidden = b"0\r\n\r\n" + head("/small")
    async with site(ConnectionLimits()) as it, connected(it.port, begun, hidden) as (reader, _):
        got = await rest(reader)
    assert got.startswith(b"HTTP/1.1 400 "), got
    assert got.count(b"HTTP/1.1") == 1, "what was hidden in it is answered to nobody"
    assert it.bodies == []


async def test_bytes_that_are_no_http_do_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async with site(ConnectionLimits()) as it:
        for _ in range(30):
            async with connected(it.port, b"\x16\x03\x01\r\n\r\n") as (reader, _):
                assert (await rest(reader)).startswith(b"HTTP/1.1 400")
    assert (
        len([one for one in caplog.records if one.name == "uvicorn.error" and one.levelname == "WARNING"])
        <= 10
    )


async def test_a_client_that_asks_far_ahead_of_its_answers_is_cut_off() -> None:
    async with site(ConnectionLimits()) as it, connected(it.port, head("/hold")) as (reader, writer):
        await eventually(lambda: it.connections == 1, what="the connection")
        for _ in range(40):
            writer.write(head("/small", "X: " + "x" * 4000))
        assert await rest(reader) == b""
