"""Every reason for which a call fails: its code, what a program can read of it, and what it leaves unchanged."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import pytest
import structlog.testing

from relay.v1 import admin_service_pb2, errors_pb2, job_pb2
from relay.v1 import queue_service_pb2 as pb
from relay_conformance.proxy import proxying
from relay_server import limits
from tests.support.redis_server import RedisServer, running_server, start_server
from tests.support.relay import Relay, eventually, new_queue, refusal, relay_server, spec

Code = grpc.StatusCode


@pytest.fixture
def queue() -> str:
    return new_queue()


def enqueue_of(queue: str, **fields: object) -> pb.EnqueueRequest:
    return pb.EnqueueRequest(queue=queue, job=spec(**fields))  # type: ignore[arg-type]


async def test_invalid_field_names_every_field_at_once(relay: Relay) -> None:
    refused = await refusal(
        relay.queue.Enqueue(pb.EnqueueRequest(queue="no spaces", job=job_pb2.JobSpec(priority=10, id="7")))
    )
    assert (refused.code, refused.reason, refused.domain) == (Code.INVALID_ARGUMENT, "INVALID_FIELD", "relay")
    assert set(refused.fields) == {"queue", "job.id", "job.type", "job.priority"}
    assert refused.fields["job.priority"] == "must be -9 to 9, is 10"
    assert "no spaces" in refused.text


async def test_queue_not_found(relay: Relay, queue: str) -> None:
    refused = await refusal(relay.admin.Stats(admin_service_pb2.StatsRequest(queue=queue)))
    assert (refused.code, refused.reason) == (Code.NOT_FOUND, "QUEUE_NOT_FOUND")
    assert queue in refused.text


async def test_job_not_found(relay: Relay, queue: str) -> None:
    await relay.enqueue(queue)
    absent = spec().id
    refused = await refusal(relay.admin.GetJob(admin_service_pb2.GetJobRequest(queue=queue, job_id=absent)))
    assert (refused.code, refused.reason) == (Code.NOT_FOUND, "JOB_NOT_FOUND")


async def test_wrong_state(relay: Relay, queue: str) -> None:
    await relay.enqueue(queue)
    worker = await relay.claimer(queue)
    (held,) = await worker.take(1)
    request = admin_service_pb2.RunJobNowRequest(queue=queue, job_id=held.id)
    refused = await refusal(relay.admin.RunJobNow(request))
    assert (refused.code, refused.reason) == (Code.FAILED_PRECONDITION, "WRONG_STATE")


async def test_idempotency_mismatch_names_the_holder(relay: Relay, queue: str) -> None:
    first = await relay.queue.Enqueue(enqueue_of(queue, payload=b"1", idempotency_key="k"))
    refused = await refusal(relay.queue.Enqueue(enqueue_of(queue, payload=b"2", idempotency_key="k")))
    assert (refused.code, refused.reason) == (Code.ALREADY_EXISTS, "IDEMPOTENCY_MISMATCH")
    assert refused.metadata["job_id"] == first.job_id
    assert refused.metadata["field"] == "job.idempotency_key"
    batch = pb.EnqueueBatchRequest(
        queue=queue, jobs=[spec(b"1", idempotency_key="k"), spec(b"2", idempotency_key="k"), spec()]
    )
    results = (await relay.queue.EnqueueBatch(batch)).results
    assert [(r.deduplicated, r.reason) for r in results] == [
        (True, errors_pb2.ERROR_REASON_UNSPECIFIED),
        (False, errors_pb2.ERROR_REASON_IDEMPOTENCY_MISMATCH),
        (False, errors_pb2.ERROR_REASON_UNSPECIFIED),
    ]
    assert results[1].job_id == first.job_id


async def test_queue_full(relay: Relay, queue: str) -> None:
    settings = admin_service_pb2.QueueSettings(max_jobs=2)
    await relay.admin.UpdateQueue(admin_service_pb2.UpdateQueueRequest(queue=queue, settings=settings))
    batch = pb.EnqueueBatchRequest(queue=queue, jobs=[spec(), spec(), spec()])
    results = (await relay.queue.EnqueueBatch(batch)).results
    assert [r.reason for r in results] == [0, 0, errors_pb2.ERROR_REASON_QUEUE_FULL]
    refused = await refusal(relay.queue.Enqueue(enqueue_of(queue)))
    assert (refused.code, refused.reason) == (Code.RESOURCE_EXHAUSTED, "QUEUE_FULL")
    assert refused.quota == [f"queue:{queue}"]
    assert refused.retry_after_s == 1


async def test_too_large_a_batch(relay: Relay, queue: str) -> None:
    batch = pb.EnqueueBatchRequest(queue=queue, jobs=[spec(b"x" * 1_000_000) for _ in range(4)])
    refused = await refusal(relay.queue.EnqueueBatch(batch))
    assert (refused.code, refused.reason) == (Code.RESOURCE_EXHAUSTED, "TOO_LARGE")
    assert "3145728 bytes" in refused.text


async def test_a_payload_over_its_limit(relay: Relay, queue: str) -> None:
    await relay.queue.Enqueue(enqueue_of(queue, payload=b"x" * (1 << 20)))
    refused = await refusal(relay.queue.Enqueue(enqueue_of(queue, payload=b"x" * ((1 << 20) + 1))))
    assert (refused.code, refused.reason) == (Code.RESOURCE_EXHAUSTED, "TOO_LARGE")
    assert "job.payload" in refused.text
    assert "1048576" in refused.text


async def test_a_message_over_4_mib_is_refused_by_grpc_itself(relay: Relay, queue: str) -> None:
    refused = await refusal(relay.queue.Enqueue(enqueue_of(queue, payload=b"x" * (5 << 20))))
    assert (refused.code, refused.reason) == (Code.RESOURCE_EXHAUSTED, "")


async def test_bytes_that_are_no_message(relay: Relay) -> None:
    for method in ("Enqueue", "Ack", "Claim"):
        path = f"/relay.v1.QueueService/{method}"
        channel: Any = relay.channel
        factory = channel.unary_stream if method == "Claim" else channel.unary_unary
        refused = await refusal(factory(path)(b"\x0a\xff\xff\xff\xff garbage"))
        assert (refused.code, refused.reason) == (Code.INVALID_ARGUMENT, "INVALID_FIELD"), method


async def test_a_call_that_does_not_exist(relay: Relay) -> None:
    channel: Any = relay.channel
    refused = await refusal(channel.unary_unary("/relay.v1.QueueService/Steal")(b""))
    assert refused.code == Code.UNIMPLEMENTED


async def test_draining(relay: Relay, queue: str) -> None:
    await relay.app.streams.drain(0)
    request = pb.ClaimRequest(queues=[pb.QueueWeight(queue=queue)], worker_id="w", max_in_flight=1)
    refused = await refusal(relay.queue.Claim(request))
    assert (refused.code, refused.reason) == (Code.UNAVAILABLE, "DRAINING")


async def test_a_defect_tells_a_request_id_and_nothing_else(
    relay: Relay, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a secret of the server")

    monkeypatch.setattr(relay.app.engine.transitions, "enqueue", broken)
    with structlog.testing.capture_logs() as logs:
        refused = await refusal(relay.queue.Enqueue(enqueue_of(queue)))
    assert (refused.code, refused.reason) == (Code.INTERNAL, "INTERNAL")
    assert "secret" not in refused.text + str(refused.metadata)
    request_id = refused.metadata["request_id"]
    assert request_id in refused.text
    (entry,) = [log for log in logs if log["event"] == "internal_error"]
    assert entry["request_id"] == request_id
    assert entry["method"] == "/relay.v1.QueueService/Enqueue"


# --- Redis in trouble


@pytest.fixture
def own_redis(relay_redis_binary: object) -> Iterator[RedisServer]:
    """A Redis of this test alone, which it may kill or starve."""
    with running_server(relay_redis_binary) as server:  # type: ignore[arg-type]
        yield server


@pytest.fixture
async def lonely(own_redis: RedisServer) -> AsyncIterator[Relay]:
    async with relay_server(f"unix://{own_redis.socket}") as relay:
        yield relay


async def test_redis_down_is_unavailable_and_over_without_a_restart(
    lonely: Relay, own_redis: RedisServer, relay_redis_binary: object, queue: str
) -> None:
    worker = await lonely.claimer(queue)
    own_redis.kill()
    refused = await refusal(lonely.queue.Enqueue(enqueue_of(queue)))
    assert (refused.code, refused.reason) == (Code.UNAVAILABLE, "STORE_UNAVAILABLE")
    assert refused.retry_after_s == 0.5
    await eventually(lambda: _health(lonely, "", "NOT_SERVING"))
    assert await _health(lonely, "relay.v1.QueueService", "NOT_SERVING")
    assert await _health(lonely, "relay.liveness", "SERVING")

    revived = start_server(relay_redis_binary, folder=own_redis.folder)  # type: ignore[arg-type]
    try:
        await eventually(lambda: _health(lonely, "", "SERVING"))
        # The stream that was open all the time; what is published reaches it again.
        for _ in range(3):
            await lonely.enqueue(queue)
            await worker.take(1, within=3)
    finally:
        revived.kill()


async def test_redis_out_of_memory_refuses_new_jobs_and_lets_old_ones_end(
    lonely: Relay, own_redis: RedisServer, queue: str
) -> None:
    await lonely.enqueue(queue, *(spec() for _ in range(4)))
    worker = await lonely.claimer(queue, max_in_flight=3)
    acked, given_back, kept = await worker.take(3)
    async with own_redis.client() as client:
        await client.config_set("maxmemory", 1)
        refused = await refusal(lonely.queue.Enqueue(enqueue_of(queue)))
        assert (refused.code, refused.reason) == (Code.RESOURCE_EXHAUSTED, "STORE_OUT_OF_MEMORY")
        assert refused.retry_after_s == 0.5
        assert [r.outcome for r in await worker.extend(kept)] == [pb.LEASE_OUTCOME_OK]
        assert [r.outcome for r in await worker.nack(given_back)] == [pb.LEASE_OUTCOME_OK]
        assert await worker.ack(acked) == [pb.LEASE_OUTCOME_OK]
        (last,) = await worker.take(1)
        assert await worker.ack(last) == [pb.LEASE_OUTCOME_OK]
        await client.config_set("maxmemory", 0)
        await lonely.enqueue(queue)


@pytest.mark.one_server
async def test_a_reply_that_never_comes_is_unavailable_in_bounded_time(
    relay_redis: RedisServer, redis_url: str, queue: str
) -> None:
    async with (
        proxying(relay_redis.socket) as proxy,
        relay_server(f"redis://{proxy.address}", storage={"command_timeout_s": 0.3}) as relay,
    ):
        await relay.enqueue(queue)
        proxy.freeze()
        call = relay.queue.Enqueue(enqueue_of(queue))
        refused = await asyncio.wait_for(refusal(call), 3)
        assert (refused.code, refused.reason) == (Code.UNAVAILABLE, "STORE_UNAVAILABLE")
        proxy.thaw()
        proxy.cut()

        async def enqueued() -> bool:
            try:
                await relay.enqueue(queue)
            except grpc.aio.AioRpcError:
                return False
            return True

        await eventually(enqueued)


async def _health(relay: Relay, service: str, status: str) -> bool:
    return await relay.health(service) == status


async def test_metadata_over_its_limit_is_refused_by_grpc(relay: Relay, queue: str) -> None:
    """As the page of limits says: RESOURCE_EXHAUSTED, no ErrorInfo. Just above the limit gRPC refuses only some."""
    half = (("x-note", "x" * (limits.METADATA_BYTES_MAX // 2)),)
    assert (await relay.queue.Enqueue(enqueue_of(queue), metadata=half)).job_id
    twice = (("x-note", "x" * (2 * limits.METADATA_BYTES_MAX)),)
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await relay.queue.Enqueue(enqueue_of(queue), metadata=twice)
    assert raised.value.code() is Code.RESOURCE_EXHAUSTED
    assert (await relay.stats(queue)).ready == 1
