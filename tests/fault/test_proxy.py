"""The proxy that breaks connections does so, and only when told."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from relay_conformance.proxy import Proxy, proxying
from tests.support.relay import eventually


@pytest.fixture
async def heard() -> bytearray:
    return bytearray()


@pytest.fixture
async def proxy(heard: bytearray) -> AsyncIterator[Proxy]:
    """In front of a server that answers each line in capitals."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                heard.extend(line)
                writer.write(line.upper())
        except ConnectionError:
            pass  # what the tests are about
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, proxying(server.sockets[0].getsockname()) as proxy:
        yield proxy


async def ask(proxy: Proxy, *pieces: bytes) -> bytes:
    """What comes back until a line is complete or the connection ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        return await reader.readuntil(b"\n")
    except asyncio.IncompleteReadError as cut:
        return cut.partial
    except ConnectionError:
        return b"reset"
    finally:
        writer.transport.abort()


async def test_a_connection_that_comes_at_the_end_is_closed() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        reader, writer = await asyncio.open_connection(sock=theirs)
        async with proxying("/nowhere") as proxy:
            proxy.accept(reader, writer)
        assert writer.transport.is_closing()


async def test_passes_everything(proxy: Proxy) -> None:
    assert await ask(proxy, b"hello\n") == b"HELLO\n"


async def test_one_reply_is_lost_after_the_request_ran(proxy: Proxy, heard: bytearray) -> None:
    loss = proxy.lose_reply(b"needle")
    assert await ask(proxy, b"other\n") == b"OTHER\n"
    assert await ask(proxy, b"a nee", b"dle\n") in {b"", b"reset"}
    assert loss.done.is_set()
    assert bytes(heard) == b"other\na needle\n"
    assert await ask(proxy, b"a needle\n") == b"A NEEDLE\n"


async def test_replies_are_swallowed_until_cut(proxy: Proxy, heard: bytearray) -> None:
    loss = proxy.swallow_replies(b"needle")
    asking = asyncio.create_task(ask(proxy, b"needle\n"))
    await loss.done.wait()
    assert not asking.done()
    assert proxy.cut() == 1
    assert await asking in {b"", b"reset"}


async def test_cut_at_byte_n(proxy: Proxy) -> None:
    proxy.cut_after(3, replies=True)
    assert await ask(proxy, b"hello\n") == b"HEL"
    proxy.cut_after(None, replies=True)
    assert await ask(proxy, b"hello\n") == b"HELLO\n"


async def test_frozen_connections_thaw(proxy: Proxy, heard: bytearray) -> None:
    proxy.freeze()
    asking = asyncio.create_task(ask(proxy, b"hello\n"))
    await eventually(lambda: proxy.accepted)
    assert not heard
    proxy.thaw()
    assert await asking == b"HELLO\n"
