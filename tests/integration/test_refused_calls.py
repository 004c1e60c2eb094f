"""What a refused call leaves behind: nothing, at once, without a garbage collection."""

import asyncio
import gc
import socket
import struct
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message

from relay.v1 import admin_service_pb2 as admin
from relay.v1 import queue_service_pb2 as pb
from relay_server.gateway.listening.connection import HttpConnection
from relay_server.rpc import reading
from tests.support.relay import Relay, eventually, refusal

Start = Callable[..., Awaitable[Relay]]
CALLS = 20


@asynccontextmanager
async def no_collections() -> AsyncIterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[weakref.ref[Any]]:
    """Every request that the server reads from now on."""
    found: list[weakref.ref[Any]] = []
    real = reading.read

    class Kept:
        """Messages take no weak references; what is with each of them does."""

    def noted(method: str, raw: bytes) -> Any:
        message = real(method, raw)
        mark = Kept()
        found.append(weakref.ref(mark))
        return _Marked(message, mark)

    monkeypatch.setattr(reading, "read", noted)
    return found


class _Marked:
    """A message and its mark, which live as long as one another."""

    def __init__(self, message: Message, mark: object) -> None:
        self._message = message
        self._mark = mark

    def __getattr__(self, name: str) -> Any:
        return getattr(self._message, name)


@pytest.mark.parametrize("what", ["refused", "refused stream", "served", "left"])
async def test_requests_are_gone_when_their_calls_are(
    relay: Relay, read: list[weakref.ref[Any]], what: str
) -> None:
    async def refused() -> None:
        await refusal(relay.queue.Ack(pb.AckRequest(leases=[pb.LeaseGroup(queue="a/b")])))

    async def refused_stream() -> None:
        await refusal(relay.queue.Claim(pb.ClaimRequest()))

    async def served() -> None:
        await relay.admin.ListQueues(admin.ListQueuesRequest())

    async def left() -> None:
        call = relay.admin.WatchStats(admin.WatchStatsRequest())
        await call.read()
        call.cancel()

    calls = {"refused": refused, "refused stream": refused_stream, "served": served, "left": left}
    async with no_collections():
        for _ in range(CALLS):
            await calls[what]()
        assert len(read) == CALLS
        await eventually(lambda: not any(one() for one in read), what="no request is kept")


async def test_a_dialogue_that_is_refused_says_why_and_leaves_nothing(relay: Relay) -> None:
    """Reflection: each message of a dialogue has the bounds of a request."""
    channel: Any = relay.channel
    path = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
    for raw, code in (
        (b"\x22" + b"\xff\x80\x80\x01", grpc.StatusCode.INVALID_ARGUMENT),
        (b"\x22\x80\x80\x04" + bytes(1 << 16), grpc.StatusCode.RESOURCE_EXHAUSTED),
    ):
        call = channel.stream_stream(path)(iter([raw]))
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call.read()
        assert raised.value.code() is code
    call = channel.stream_stream(path)(iter([b"\x3a\x00"]))
    assert b"relay.v1.QueueService" in await call.read()


def _asks_and_resets(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as one:
        one.sendall(f"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        while not one.recv(4096).endswith(b"}"):
            pass
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def test_a_connection_is_gone_when_its_client_resets_it(
    another: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """uvicorn's timer for the next request would keep it, and with TLS buffers of 256 KiB, for half a minute."""
    made: list[weakref.ref[Any]] = []
    real = HttpConnection.connection_made

    def noted(self: HttpConnection, transport: Any) -> None:
        made.append(weakref.ref(self))
        real(self, transport)

    monkeypatch.setattr(HttpConnection, "connection_made", noted)
    relay = await another(http="127.0.0.1:0")
    for _ in range(CALLS):
        await asyncio.to_thread(_asks_and_resets, relay.http_port)

    def kept() -> int:
        gc.collect()  # asyncio's transports are cycles of their own
        return sum(one() is not None for one in made)

    await eventually(lambda: len(made) == CALLS and not kept(), what="no connection is kept", within=10)
