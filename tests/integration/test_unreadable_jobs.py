"""Jobs whose stored data cannot be read, through gRPC: their queue goes on, and an operator sees and removes them."""

import grpc
import pytest

from relay.v1 import admin_service_pb2 as pb
from relay.v1 import dead_letter_service_pb2 as dead_pb
from relay_server.engine import keys
from relay_server.rpc.ids import uuid_text
from tests.support.operator_desk import steps_of
from tests.support.relay import Relay, eventually, new_queue, read_refusal, spec
from tests.support.stores import Store

pytestmark = pytest.mark.every_server


def raw_id(job_id: str) -> bytes:
    return bytes.fromhex(job_id.replace("-", ""))


async def damage(store: Store, queue: str, *ids: str) -> None:
    """A record that was cut, one with a number put in, a body that is gone, one that is no job, one that is no text."""
    named = keys.queue_keys(queue)
    cut, shifted, gone, none, text = map(raw_id, ids)
    async with store.raw_client() as raw:
        record = await raw.execute_command("HGET", named["state"], cut)
        await raw.execute_command(
            "HSET", named["state"], cut, record[:-3], shifted, record[:20] + b"\0" * 4 + record[20:]
        )
        await raw.execute_command("HDEL", named["body"], gone)
        await raw.execute_command("HSET", named["body"], none, b"\xff\xff\xff", text, b"\x12\x02\xff\xff")


async def audit(relay: Relay, queue: str) -> dict[str, str]:
    steps = await steps_of(relay.admin.Audit(pb.AuditRequest(queue=queue)))
    return {found.job_id: f"{found.invariant} {found.detail}" for step in steps for found in step.findings}


async def test_the_queue_goes_on_and_an_operator_sees_what_was_set_aside(
    relay: Relay, relay_redis: Store
) -> None:
    queue, other = new_queue(), new_queue()
    bad = await relay.enqueue(queue, *(spec() for _ in range(5)))
    good = await relay.enqueue(queue, *(spec() for _ in range(3)))
    await relay.enqueue(other)
    await damage(relay_redis, queue, *bad)

    worker = await relay.claimer({queue: 1, other: 1}, max_in_flight=4)  # fewer slots than jobs that are bad
    held = await worker.take(4)
    await worker.ack(*held)
    await eventually(lambda: _none_left(relay, queue), what="all that can be read is claimed")
    assert {one.id for one in held if one.queue == queue} == set(good)

    (stats,) = (await relay.admin.Stats(pb.StatsRequest(queue=queue))).queues
    assert (stats.ready, stats.unreadable, stats.counters.unreadable) == (0, 5, 5)
    found = await audit(relay, queue)
    assert set(found) == set(bad)
    assert all(text.startswith("UNREADABLE set aside from ") for text in found.values())
    for job_id in bad:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await relay.admin.GetJob(pb.GetJobRequest(queue=queue, job_id=job_id))
        answer = read_refusal(refused.value)
        assert (answer.code, answer.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "WRONG_STATE")
        assert "relay doctor" in answer.text


async def _none_left(relay: Relay, queue: str) -> bool:
    return (await relay.stats(queue)).ready == 0


async def test_unreadable_jobs_are_deleted_by_id_or_all(relay: Relay, relay_redis: Store) -> None:
    queue = new_queue()
    bad = await relay.enqueue(queue, *(spec() for _ in range(5)))
    await damage(relay_redis, queue, *bad)
    worker = await relay.claimer(queue)
    await eventually(lambda: _set_aside(relay, queue, 5), what="all are set aside")
    await worker.close()

    chosen = pb.CancelJobsRequest(queue=queue, ids=dead_pb.JobIds(ids=bad[:2]), dry_run=True)
    assert (await steps_of(relay.admin.CancelJobs(chosen)))[-1].matched == 2
    chosen.dry_run = False
    assert (await steps_of(relay.admin.CancelJobs(chosen)))[-1].cancelled == 2
    assert set(await audit(relay, queue)) == set(bad[2:])

    purge = pb.PurgeQueueRequest(queue=queue, confirm=queue, forget=True)
    last = (await steps_of(relay.admin.PurgeQueue(purge)))[-1]
    assert (last.purged, last.total, last.forgotten) == (3, 3, True)


async def _set_aside(relay: Relay, queue: str, n: int) -> bool:
    return (await relay.stats(queue)).unreadable == n


async def test_the_error_for_a_key_of_a_wrong_type_names_the_way_out(
    relay: Relay, relay_redis: Store
) -> None:
    broken, sound = new_queue(), new_queue()
    await relay.enqueue(broken)
    (job_id,) = await relay.enqueue(sound)
    key = keys.queue_keys(broken)["dead"].decode()
    async with relay_redis.raw_client() as raw:
        await raw.execute_command("SET", key, "x")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await relay.admin.Stats(pb.StatsRequest(queue=broken))
        assert f"redis-cli RENAME '{key}' 'damaged:{key}'" in read_refusal(refused.value).text
        assert [one.queue for one in (await relay.admin.Stats(pb.StatsRequest())).queues] == [sound]
        steps = [step async for step in relay.admin.Audit(pb.AuditRequest())]
        assert [(step.queue, len(step.findings)) for step in steps if step.findings] == [(broken, 1)]
        await raw.execute_command("RENAME", key, f"damaged:{key}")
    worker = await relay.claimer({broken: 1, sound: 1})
    assert len(await worker.take(2)) == 2
    assert uuid_text(raw_id(job_id)) == job_id
