"""Which call is next: connections take turns, and what gRPC has to have for it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from relay_server.rpc import accepting
from relay_server.rpc.accepting import WAITING_MAX, _Lane

METHOD = "/test.Test/Call"


def test_connections_take_turns_and_each_has_its_calls_in_order() -> None:
    async def order() -> list[Any]:
        lane = _Lane()
        for n in range(250):
            lane.put("flood", f"flood {n}")
        lane.put("shop", "shop 0")
        lane.put("shop", "shop 1")
        return [lane.next().result() for _ in range(6)]

    assert asyncio.run(order()) == ["flood 0", "shop 0", "flood 1", "shop 1", "flood 2", "flood 3"]


async def test_whoever_asks_first_gets_the_call_that_comes_next() -> None:
    lane = _Lane()
    asked = lane.next()
    assert not asked.done()
    lane.put("shop", "shop 0")
    assert await asked == "shop 0"


async def test_a_call_that_nobody_waits_for_any_more_is_not_lost() -> None:
    lane = _Lane()
    lane.next().cancel()
    lane.put("shop", "shop 0")
    assert await lane.next() == "shop 0"


async def test_no_more_are_taken_than_may_wait() -> None:
    lane = _Lane()
    for n in range(WAITING_MAX):
        await asyncio.wait_for(lane.room(), 1)
        lane.put("flood", n)
    waits = asyncio.create_task(lane.room())
    await asyncio.sleep(0)
    assert not waits.done()
    lane.next()
    await asyncio.wait_for(waits, 1)


async def test_the_end_is_told_to_whoever_asks_and_lets_go_of_what_waits() -> None:
    lane = _Lane()
    asked = lane.next()
    lane.fail(RuntimeError("ended"))
    with pytest.raises(RuntimeError, match="ended"):
        await asked
    lane.put("shop", "shop 0")
    lane.fail(RuntimeError("ended"))
    with pytest.raises(RuntimeError, match="ended"):
        await lane.next()


def test_the_version_of_grpc_that_is_installed_lets_us() -> None:
    """Should this fail after an update: calls are taken one by one again, and a flood makes the others wait."""
    assert accepting.is_fair()


@asynccontextmanager
async def served(calls: list[str]) -> AsyncIterator[grpc.aio.Channel]:
    server = accepting.server(interceptors=(), options=())

    async def answer(request: bytes, context: Any) -> bytes:
        calls.append(context.peer())
        return request

    handler: Any = grpc.unary_unary_rpc_method_handler(answer)
    server.add_registered_method_handlers("test.Test", {"Call": handler})
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel
    await asyncio.wait_for(server.stop(1), 10)


async def test_every_call_is_answered_once_and_grpc_asks_us_which_is_next() -> None:
    calls: list[str] = []
    async with served(calls) as channel:
        call: Any = channel.unary_unary(METHOD)
        sent = [b"%d" % n for n in range(500)]
        assert await asyncio.gather(*(call(one) for one in sent)) == sent
        assert len(calls) == 500
        other: Any = channel.unary_unary("/test.Test/Other")
        with pytest.raises(grpc.aio.AioRpcError) as unknown:
            await other(b"")
        assert unknown.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_where_grpc_does_not_let_us_calls_come_as_it_gives_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(accepting, "is_fair", lambda: False)
    calls: list[str] = []
    async with served(calls) as channel:
        call: Any = channel.unary_unary(METHOD)
        assert await call(b"1") == b"1"
    assert len(calls) == 1
