"""The reply of each mutating script is lost after it ran, and each is asked again: one effect."""

import uuid
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import grpc
import pytest

from relay.v1 import queue_service_pb2 as pb
from relay_conformance.proxy import Loss, Proxy
from relay_server import errors
from relay_server.engine.lua_script import load_scripts
from relay_server.model import Claimed
from tests.support.relay import Claimer, Relay, eventually, spec
from tests.support.slow_reader import slow_reader

T = TypeVar("T")
SHA = {name: script.sha.encode() for name, script in load_scripts().items()}


async def repeated(call: Callable[[], Awaitable[T]], loss: Loss) -> T:
    """The answer of the second try; the first one's was lost, and the caller was told to try again."""
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call()
    assert failed.value.code() is grpc.StatusCode.UNAVAILABLE
    assert loss.done.is_set()
    return await call()


async def one_job(relay: Relay, queue: str) -> Claimer:
    """A claimer with one job in hand, and reports left out: they would only add a second script."""
    await relay.enqueue(queue, spec())
    claimer = await relay.claimer(queue, lease=30)
    await claimer.take(1)
    return claimer


async def test_enqueue(relay: Relay, redis_proxy: Proxy, queue: str) -> None:
    request = pb.EnqueueRequest(queue=queue, job=spec())
    loss = redis_proxy.lose_reply(SHA["enqueue"])
    answer = await repeated(lambda: relay.queue.Enqueue(request), loss)
    assert (answer.job_id, answer.deduplicated) == (request.job.id, False)
    stats = await relay.stats(queue)
    assert (stats.ready, stats.counters["enqueued"]) == (1, 1)


async def test_enqueue_batch(relay: Relay, redis_proxy: Proxy, queue: str) -> None:
    jobs = [spec(), spec(idempotency_key="k"), spec(idempotency_key="k")]
    request = pb.EnqueueBatchRequest(queue=queue, jobs=jobs, request_id=str(uuid.uuid4()))
    loss = redis_proxy.lose_reply(SHA["enqueue"])
    answer = await repeated(lambda: relay.queue.EnqueueBatch(request), loss)
    assert [result.deduplicated for result in answer.results] == [False, False, True]
    stats = await relay.stats(queue)
    assert (stats.ready, stats.counters["enqueued"]) == (2, 2)


async def test_claim(relay: Relay, redis_proxy: Proxy, queue: str) -> None:
    """The job of the lost claim is handed back, so it comes at once, on its first attempt."""
    await relay.enqueue(queue, spec())
    loss = redis_proxy.lose_reply(SHA["claim"])
    claimer = await relay.claimer(queue, lease=30)
    (held,) = await claimer.take(1, within=5)
    assert loss.done.is_set()
    assert held.job.attempt == 1
    assert await claimer.ack(held) == [pb.LEASE_OUTCOME_OK]
    stats = await relay.stats(queue)
    assert (stats.inflight, stats.ready, stats.counters["acked"]) == (0, 0, 1)
    assert stats.counters.get("expired", 0) == 0


async def test_a_lost_claim_of_a_queue_that_is_not_claimed_from_again(
    relay: Relay, redis_proxy: Proxy, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its jobs do not wait for the queue's next claim, nor for their leases."""
    claim, claims = relay.app.engine.transitions.claim, 0

    async def once(*args: Any) -> Claimed:
        nonlocal claims
        claims += 1
        if claims > 1:
            raise errors.StoreUnavailable("not again")
        return await claim(*args)

    monkeypatch.setattr(relay.app.engine.transitions, "claim", once)
    await relay.enqueue(queue, spec())
    loss = redis_proxy.lose_reply(SHA["claim"])
    claimer = await relay.claimer(queue, lease=30)
    await eventually(loss.done.is_set, what="the lost claim")
    await claimer.close()

    async def back() -> bool:
        return (await relay.stats(queue)).ready == 1

    await eventually(lambda: back(), what="the job")
    assert relay.app.engine.transitions._lost_claims == {}


async def test_ack(relay: Relay, redis_proxy: Proxy, queue: str) -> None:
    claimer = await one_job(relay, queue)
    (held,) = claimer.unsettled.values()
    loss = redis_proxy.lose_reply(SHA["ack"])
    # The job is gone, which is what a worker that repeats an ack wants to hear.
    assert await repeated(lambda: claimer.ack(held), loss) == [pb.LEASE_OUTCOME_GONE]
    stats = await relay.stats(queue)
    assert (stats.inflight, stats.counters["acked"], stats.counters.get("stale", 0)) == (0, 1, 0)


@pytest.mark.parametrize(
    ("kind", "counter"),
    [(pb.NACK_KIND_RETRY, "retried"), (pb.NACK_KIND_DEAD, "dead"), (pb.NACK_KIND_RELEASE, "released")],
)
async def test_nack_and_release(
    relay: Relay, redis_proxy: Proxy, queue: str, kind: "pb.NackKind.ValueType", counter: str
) -> None:
    claimer = await one_job(relay, queue)
    (held,) = claimer.unsettled.values()
    loss = redis_proxy.lose_reply(SHA["nack"])
    (result,) = await repeated(lambda: claimer.nack(held, kind=kind, after=60), loss)
    assert result.outcome == pb.LEASE_OUTCOME_OK
    assert result.delay.ToTimedelta().total_seconds() == (0 if kind == pb.NACK_KIND_DEAD else 60)
    stats = await relay.stats(queue)
    assert (stats.inflight, stats.delayed + stats.dead, stats.counters[counter]) == (0, 1, 1)


async def test_extend(relay: Relay, redis_proxy: Proxy, queue: str) -> None:
    claimer = await one_job(relay, queue)
    (held,) = claimer.unsettled.values()
    loss = redis_proxy.lose_reply(SHA["extend"])
    (result,) = await repeated(lambda: claimer.extend(held, lease=60), loss)
    assert result.outcome == pb.LEASE_OUTCOME_OK
    assert 59 < result.lease_remaining.ToTimedelta().total_seconds() <= 60
    assert await claimer.ack(held) == [pb.LEASE_OUTCOME_OK]


async def test_the_server_s_own_hand_back(relay: Relay, redis_proxy: Proxy, queue: str) -> None:
    """Jobs that could not be written go back although the reply of that is lost; the next stream gets each once."""
    slow = await slow_reader(relay, queue, 80)
    loss = redis_proxy.lose_reply(SHA["hand_back"])
    await slow.close()
    await eventually(loss.done.is_set, what="the lost hand-back")
    stats = await relay.stats(queue)
    assert stats.ready == stats.counters["handed_back"] > 0
    other = await relay.claimer(queue, max_in_flight=100, lease=30)
    held = await other.take(stats.ready)
    assert {one.job.attempt for one in held} == {1}
    assert len({one.id for one in held}) == stats.ready
