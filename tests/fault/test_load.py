"""Redis loses its scripts, or its memory, while jobs flow: everything goes on, or again, by itself."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import grpc
import pytest

from relay.v1 import queue_service_pb2 as pb
from tests.support.redis_server import RedisServer
from tests.support.relay import Relay, eventually, read_refusal, spec


@dataclass(slots=True)
class Flow:
    """What went in and came out."""

    accepted: set[str]
    acked: set[str]
    refused: int = 0


@asynccontextmanager
async def flowing(relay: Relay, queue: str, *, payload: bytes = b"{}") -> AsyncIterator[Flow]:
    """A producer and a worker at work. At the end the producer stops, and all that was accepted is acked."""
    flow, stop = Flow(set(), set()), asyncio.Event()
    claimer = await relay.claimer(queue, max_in_flight=50, lease=30)

    async def produce() -> None:
        while not stop.is_set():
            jobs = [spec(payload) for _ in range(10)]
            try:
                reply = await relay.queue.EnqueueBatch(pb.EnqueueBatchRequest(queue=queue, jobs=jobs))
                flow.accepted.update(result.job_id for result in reply.results)
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                    raise
                flow.refused += 1
            await asyncio.sleep(0.002)

    async def work() -> None:
        while True:
            held = await claimer.take(1, within=60) + claimer.rest()
            outcomes = await claimer.ack(*held)
            assert set(outcomes) == {pb.LEASE_OUTCOME_OK}
            assert flow.acked.isdisjoint(one.id for one in held)
            flow.acked.update(one.id for one in held)

    producing, working = asyncio.create_task(produce()), asyncio.create_task(work())
    try:
        yield flow
        stop.set()
        await producing
        await eventually(lambda: working.done() or flow.acked == flow.accepted, what="every job acked")
    finally:
        stop.set()
        for task in (producing, working):
            task.cancel()
    results = await asyncio.gather(producing, working, return_exceptions=True)
    assert results[0] is None
    assert isinstance(results[1], asyncio.CancelledError), results[1]


async def test_script_cache_flushed_again_and_again(relay: Relay, own_redis: RedisServer, queue: str) -> None:
    async with flowing(relay, queue) as flow, own_redis.client() as redis:
        for _ in range(20):
            before = len(flow.acked)
            await redis.script_flush()
            await eventually(lambda n=before: len(flow.acked) > n + 20, what="jobs after the flush")  # type: ignore[misc]
    stats = await relay.stats(queue)
    assert stats.ready + stats.inflight + stats.delayed == 0
    assert stats.counters["enqueued"] == stats.counters["acked"] == len(flow.acked)


async def test_a_backlog_drains_when_memory_is_out(relay: Relay, own_redis: RedisServer, queue: str) -> None:
    """Enqueue is refused in words that say so; what is there is claimed, extended and acked all the same."""
    await relay.enqueue(queue, *(spec(b"x" * 1000) for _ in range(200)))
    async with own_redis.client() as redis:
        await redis.config_set("maxmemory", int((await redis.info("memory"))["used_memory"]) - 1)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await relay.enqueue(queue, spec())
    refusal = read_refusal(refused.value)
    assert refusal.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert refusal.reason == "STORE_OUT_OF_MEMORY"
    assert refusal.retry_after_s
    claimer = await relay.claimer(queue, max_in_flight=200, lease=30)
    held = await claimer.take(200)
    assert {one.outcome for one in await claimer.extend(*held)} == {pb.LEASE_OUTCOME_OK}
    assert set(await claimer.ack(*held)) == {pb.LEASE_OUTCOME_OK}
    assert (await relay.stats(queue)).inflight == 0


async def test_out_of_memory_under_load_and_back(relay: Relay, own_redis: RedisServer, queue: str) -> None:
    async with flowing(relay, queue, payload=b"x" * 1000) as flow, own_redis.client() as redis:
        await eventually(lambda: len(flow.acked) > 100, what="jobs before")
        await redis.config_set("maxmemory", 1)
        await eventually(lambda: flow.refused > 5, what="refusals")
        await eventually(lambda: flow.acked == flow.accepted, what="a drained queue")
        await redis.config_set("maxmemory", 0)
        before = len(flow.acked)
        await eventually(lambda: len(flow.acked) > before + 100, what="jobs after the recovery")
    stats = await relay.stats(queue)
    assert stats.ready + stats.inflight + stats.delayed == 0
    assert stats.counters["enqueued"] == stats.counters["acked"]
