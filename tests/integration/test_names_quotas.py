"""How many queues there may be, who may make them, and the settings that a new one begins with."""

import asyncio
from typing import Any

import grpc
import pytest

from relay.v1 import admin_service_pb2 as admin_pb
from relay.v1 import queue_service_pb2 as pb
from tests.integration.conftest import Start
from tests.support.credentials import Metadata, TokensFile, bearer
from tests.support.engine import Lab, a_job, new_queue
from tests.support.relay import Relay, eventually, refusal, spec


@pytest.fixture
def ann(tokens: TokensFile) -> Metadata:
    return bearer(tokens.add("ann", producer="*", worker="*", viewer="*", operator="*"))


@pytest.fixture
def bob(tokens: TokensFile) -> Metadata:
    return bearer(tokens.add("bob", producer="*"))


@pytest.fixture
async def small(another: Start, tokens: TokensFile, ann: Metadata, bob: Metadata) -> Relay:
    """A server on which one principal may make two queues, and claim from three at once."""
    return await another(
        tokens_file=tokens.path,
        principal_queues_max=2,
        principal_subscriptions_max=3,
        principal_watches_max=1,
    )


def claim_of(*queues: str) -> pb.ClaimRequest:
    weights = [pb.QueueWeight(queue=queue, weight=1) for queue in queues]
    return pb.ClaimRequest(queues=weights, worker_id="w", max_in_flight=1)


async def refused(call: Any) -> tuple[grpc.StatusCode, str, str]:
    error = await refusal(call)
    return error.code, error.reason, error.text


QUOTA = (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED")
OVERLOADED = (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")


async def test_a_principal_makes_so_many_queues_and_uses_all_that_there_are(
    small: Relay, ann: Metadata, bob: Metadata
) -> None:
    one, two, three, of_bob = (new_queue() for _ in range(4))

    async def enqueue(queue: str, who: Metadata) -> None:
        await small.queue.Enqueue(pb.EnqueueRequest(queue=queue, job=spec()), metadata=who)

    await asyncio.gather(*(enqueue(queue, ann) for queue in (one, two) for _ in range(20)))
    code, reason, text = await refused(enqueue(three, ann))
    assert (code, reason) == QUOTA
    assert "ann has made 2 queues" in text
    assert "--principal-queues-max" in text
    assert (await refused(small.queue.Claim(claim_of(one, three), metadata=ann)))[:2] == QUOTA
    update = admin_pb.UpdateQueueRequest(queue=three, settings=admin_pb.QueueSettings(max_jobs=5))
    assert (await refused(small.admin.UpdateQueue(update, metadata=ann)))[:2] == QUOTA
    assert not await small.app.engine.names.knows(three)

    await enqueue(of_bob, bob)
    await enqueue(of_bob, ann)
    await enqueue(one, ann)
    # What is forgotten makes room.
    async for _ in small.admin.PurgeQueue(
        admin_pb.PurgeQueueRequest(queue=two, confirm=two, forget=True), metadata=ann
    ):
        pass
    await enqueue(three, ann)


async def test_the_store_holds_so_many_queues_without_tokens_too(another: Start) -> None:
    relay = await another(queues_max=2)
    first, second = new_queue(), new_queue()
    await relay.enqueue(first)
    await relay.enqueue(second)
    call = relay.queue.Enqueue(pb.EnqueueRequest(queue=new_queue(), job=spec()))
    code, reason, text = await refused(call)
    assert (code, reason) == QUOTA
    assert "--queues-max" in text
    await relay.enqueue(first)


async def test_subscriptions_and_watches_of_a_principal_are_bounded(small: Relay, ann: Metadata) -> None:
    one, two = new_queue(), new_queue()
    stream = small.queue.Claim(claim_of(one, two), metadata=ann)
    await stream.read()
    code, reason, text = await refused(small.queue.Claim(claim_of(one, two), metadata=ann))
    assert (code, reason) == OVERLOADED
    assert "--principal-subscriptions-max" in text
    another = small.queue.Claim(claim_of(one), metadata=ann)
    await another.read()
    watch = small.admin.WatchStats(admin_pb.WatchStatsRequest(), metadata=ann)
    await watch.read()
    code, reason, text = await refused(small.admin.WatchStats(admin_pb.WatchStatsRequest(), metadata=ann))
    assert (code, reason) == OVERLOADED
    assert "--principal-watches-max" in text
    for call in (stream, another, watch):
        call.cancel()
    await eventually(lambda: not small.app.gate.streaming, what="nothing is counted any more")


async def test_new_queues_begin_with_the_settings_of_their_name(another: Start) -> None:
    relay = await another(
        queue_default=["tenant-a-*:max_jobs=1", "tenant-*:max_jobs=2,rate=50.5,priority_step_s=60"]
    )
    strict, tenant, other = f"tenant-a-{new_queue()}", f"tenant-{new_queue()}", new_queue()
    for queue in (strict, tenant, other):
        await relay.enqueue(queue)
    call = relay.queue.Enqueue(pb.EnqueueRequest(queue=strict, job=spec()))
    assert (await refused(call))[1] == "QUEUE_FULL"
    listed = {one.name: one for one in (await relay.admin.ListQueues(admin_pb.ListQueuesRequest())).queues}
    assert [listed[queue].settings.max_jobs for queue in (strict, tenant, other)] == [1, 2, 0]
    assert listed[tenant].settings.rate == 50.5
    assert listed[tenant].settings.priority_step.seconds == 60
    # An operator's word counts, also for a queue that it makes.
    own = f"tenant-{new_queue()}"
    settings = admin_pb.QueueSettings(max_jobs=7)
    made = await relay.admin.UpdateQueue(admin_pb.UpdateQueueRequest(queue=own, settings=settings))
    assert (made.queue.settings.max_jobs, made.queue.settings.rate) == (7, 50.5)


def first_settings(_: str) -> dict[str, float]:
    return {"max_jobs": 5.0}


async def test_first_settings_are_given_once_by_any_server(lab: Lab) -> None:
    engines = [lab.another_engine(f"s{i}", first_settings=first_settings) for i in range(4)]
    queues = [new_queue() for _ in range(25)]
    await asyncio.gather(
        *(engine.transitions.enqueue(queue, [a_job()]) for queue in queues for engine in engines)
    )
    assert {(await lab.ops.stats(queue)).settings.max_jobs for queue in queues} == {5}
    await lab.enqueued(a_job())
    await engines[0].transitions.enqueue(lab.queue, [a_job()])
    assert (await lab.ops.stats(lab.queue)).settings.max_jobs == 0, "it was there before"
