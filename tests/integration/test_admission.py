"""What becomes of a call before its message is read, on a real socket; by hand where a library would not send it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families

from relay.v1 import queue_service_pb2 as pb
from relay_server.rpc.floods import REFUSALS_MAX
from tests.support.credentials import TokensFile, bearer
from tests.support.http import opened
from tests.support.http import request as http_request
from tests.support.relay import (
    Relay,
    eventually,
    new_queue,
    refusal,
    relay_server,
    spec,
)
from tests.support.wire import ENQUEUE, HEALTH, prefix, wire

ACK = "/relay.v1.QueueService/Ack"
CLAIM = "/relay.v1.QueueService/Claim"


@pytest.fixture
async def guarded(redis_url: str, tokens: TokensFile) -> AsyncIterator[Relay]:
    tokens.add("shop", producer="*", worker="*")
    async with relay_server(redis_url, tokens_file=tokens.path) as relay:
        yield relay


@pytest.mark.parametrize("method", [ENQUEUE, CLAIM])
async def test_a_caller_that_is_not_known_is_refused_before_its_message(guarded: Relay, method: str) -> None:
    async with wire(guarded.address) as one:
        stream = one.open(method)
        await eventually(lambda: stream in one.ended, what="the refusal of a call that sent no message")


@pytest.mark.parametrize("method", [ENQUEUE, ACK, CLAIM])
async def test_a_call_without_a_message(relay: Relay, method: str) -> None:
    call: Any = relay.channel.stream_stream(method, request_serializer=bytes)
    stream = call(iter(()), timeout=10)
    refused = await refusal(stream)
    assert (refused.code, refused.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert refused.fields == {"request": "is missing: this call takes one message"}


@pytest.mark.parametrize("method", [ENQUEUE, HEALTH, CLAIM])
async def test_a_message_that_does_not_arrive(redis_url: str, method: str) -> None:
    async with relay_server(redis_url, message_within_s=1.0) as relay, wire(relay.address) as one:
        stream = one.open(method)
        await one.send(stream, prefix(1000) + bytes(999))
        await eventually(lambda: stream in one.ended, within=15, what="the end of a call that waits")
        assert await relay.health() == "SERVING"


async def test_a_late_message_is_overloaded_with_a_time_to_come_back(redis_url: str) -> None:
    async with relay_server(redis_url, message_within_s=1.0) as relay:
        call: Any = relay.channel.stream_unary(ENQUEUE)()
        refused = await refusal(call)
        assert (refused.code, refused.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
        assert "--message-within-s" in refused.text
        assert refused.retry_after_s


async def test_more_calls_than_may_run_are_overloaded_and_another_caller_has_its_share(
    redis_url: str, tokens: TokensFile
) -> None:
    greedy, modest = tokens.add("greedy", producer="*"), tokens.add("modest", producer="*")
    queue = new_queue()
    request = pb.EnqueueRequest(queue=queue, job=spec())
    async with relay_server(redis_url, tokens_file=tokens.path, calls_max=100) as relay:
        async with wire(relay.address) as one:
            held = {one.open(ENQUEUE, bearer(greedy)) for _ in range(101)}
            await eventually(lambda: one.ended, what="the refusal of one too many")
            assert len(one.ended & held) == 1
            refused = await refusal(relay.queue.Enqueue(request, metadata=bearer(greedy)))
            assert (refused.code, refused.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
            assert "--calls-max" in refused.text
            assert refused.retry_after_s
            await relay.queue.Enqueue(request, metadata=bearer(modest))
        await eventually(lambda: enqueued(relay, request, bearer(greedy)), what="room again")


async def enqueued(relay: Relay, request: pb.EnqueueRequest, metadata: Any) -> bool:
    try:
        await relay.queue.Enqueue(request, metadata=metadata)
    except grpc.aio.AioRpcError:
        return False
    return True


async def test_a_connection_carries_so_many_calls_and_the_others_wait_in_the_client(redis_url: str) -> None:
    async with relay_server(redis_url, connection_calls_max=100) as relay:
        async with wire(relay.address) as one:
            assert one.streams_max == 100
        queue = new_queue()
        calls = [relay.queue.Enqueue(pb.EnqueueRequest(queue=queue, job=spec())) for _ in range(1000)]
        await asyncio.gather(*calls)
        assert (await relay.stats(queue)).ready == 1000


async def test_more_connections_than_may_be_are_hung_up_and_http_goes_on(redis_url: str) -> None:
    async with (
        relay_server(redis_url, connections_max=5, http="127.0.0.1:0") as relay,
        AsyncExitStack() as stack,
    ):
        for _ in range(4):
            await stack.enter_async_context(wire(relay.address))
        await relay.health()
        sixth = await stack.enter_async_context(wire(relay.address))
        await eventually(sixth.closed.is_set, what="the end of a connection too many")
        assert (await http_request(relay.http_port, "GET", "/api/v1/server")).status == 200


async def test_streams_over_http_do_not_take_the_places_of_calls(redis_url: str) -> None:
    """The gateway makes a further connection when one is full of streams, which last."""
    async with relay_server(redis_url, http="127.0.0.1:0", connection_calls_max=100) as relay:
        port = relay.http_port
        async with AsyncExitStack() as stack:
            for _ in range(110):
                stream = await stack.enter_async_context(opened(port, "GET", "/api/v1/stats:watch"))
                await stream.line()
            assert (await http_request(port, "GET", "/api/v1/server")).status == 200


async def test_a_flood_without_a_token_waits_and_is_counted_as_unauthenticated(
    guarded: Relay, tokens: TokensFile
) -> None:
    """Also those of its calls that are gone when their time comes."""
    before, calls = unauthenticated(guarded), REFUSALS_MAX + 20
    async with wire(guarded.address) as one:
        for _ in range(calls):
            one.open(ENQUEUE)
        await eventually(lambda: len(one.ended) == REFUSALS_MAX, what="refusals at once")
        await guarded.health()
    await eventually(lambda: unauthenticated(guarded) == before + calls, what="the end of those that waited")


def unauthenticated(relay: Relay) -> float:
    labels = {"method": ENQUEUE, "code": "UNAUTHENTICATED"}
    text = "".join(relay.app.metrics.parts())
    samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
    return sum(one.value for one in samples if (one.name, one.labels) == ("relay_grpc_handled_total", labels))
