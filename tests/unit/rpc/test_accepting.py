"""Which call is next: connections take turns, and what gRPC has to have for it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from relay_server.rpc import accepting
from relay_server.rpc.accepting import WAITING_MAX, MethodCalls

METHOD = "/test.Test/Call"
CONNECTION_CALLS = 50


def method_calls(pace: Callable[[str], float] = lambda _: 0.0) -> MethodCalls:
    return MethodCalls(pace, connection_calls=CONNECTION_CALLS)


async def test_connections_take_turns_and_each_has_its_calls_in_order() -> None:
    calls = method_calls()
    for n in range(CONNECTION_CALLS):
        calls.put("flood", f"flood {n}")
    calls.put("shop", "shop 0")
    calls.put("shop", "shop 1")
    assert [calls.next().result() for _ in range(6)] == [
        *("flood 0", "shop 0", "flood 1", "shop 1", "flood 2", "flood 3")
    ]


async def test_whoever_asks_first_gets_the_call_that_comes_next() -> None:
    calls = method_calls()
    asked = calls.next()
    assert not asked.done()
    calls.put("shop", "shop 0")
    assert await asked == "shop 0"
    assert calls.count == 0


async def test_a_call_that_nobody_waits_for_any_more_is_not_lost() -> None:
    calls = method_calls()
    calls.next().cancel()
    calls.put("shop", "shop 0")
    assert await calls.next() == "shop 0"


async def test_a_connection_keeps_no_more_waiting_calls_than_it_may_carry() -> None:
    """It may carry so many calls at once: of more that wait the first are over."""
    calls = method_calls()
    for n in range(3 * CONNECTION_CALLS):
        calls.put("resets", n)
    calls.put("shop", "shop 0")
    assert calls.count == CONNECTION_CALLS + 1
    assert [calls.next().result() for _ in range(2)] == [2 * CONNECTION_CALLS, "shop 0"]


async def test_a_connection_that_may_not_yet_waits_and_holds_up_nobody() -> None:
    calls = method_calls(lambda connection: 0.01 if connection == "flood" else 0.0)
    calls.put("flood", "flood 0")
    asked = calls.next()
    assert not asked.done()
    calls.put("shop", "shop 0")
    assert await asked == "shop 0"
    assert await asyncio.wait_for(calls.next(), 5) == "flood 0"


async def test_no_more_calls_are_taken_than_may_wait() -> None:
    calls = method_calls()
    for n in range(WAITING_MAX):
        await asyncio.wait_for(calls.room(), 1)
        calls.put(f"connection {n // CONNECTION_CALLS}", n)
    waits = asyncio.create_task(calls.room())
    await asyncio.sleep(0)
    assert not waits.done()
    calls.next()
    await asyncio.wait_for(waits, 1)


async def test_when_the_server_ends_nobody_waits_for_a_call() -> None:
    calls = method_calls()
    asked = calls.next()
    calls.fail(RuntimeError("ended"))
    with pytest.raises(RuntimeError, match="ended"):
        await asked
    with pytest.raises(RuntimeError, match="ended"):
        await calls.next()


def test_the_version_of_grpc_that_is_installed_lets_us() -> None:
    """Should this fail after an update: calls are taken one by one again, and a flood makes the others wait."""
    assert accepting.is_fair()


@asynccontextmanager
async def served(calls: list[str]) -> AsyncIterator[grpc.aio.Channel]:
    server = accepting.server(
        interceptors=(),
        options=(("grpc.max_concurrent_streams", CONNECTION_CALLS), ("grpc.http.overload_protection", 0)),
        pace=lambda _: 0.0,
        connection_calls=CONNECTION_CALLS,
    )

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
        assert await call(b"now the client knows how many it may have at once") != b""
        sent = [b"%d" % n for n in range(500)]
        assert await asyncio.gather(*(call(one) for one in sent)) == sent
        assert len(calls) == 501
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
