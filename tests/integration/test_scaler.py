"""KEDA's external scaler on the broker's own port: what each call answers while jobs come, run and go."""

import asyncio
from typing import TYPE_CHECKING

import grpc
import pytest

from relay.v1 import admin_service_pb2 as admin
from relay_server.keda import externalscaler_pb2 as pb
from relay_server.keda import externalscaler_pb2_grpc
from relay_server.rpc import scaler_reads
from tests.support.engine.stored import calls
from tests.support.relay import Relay, eventually, new_queue, refusal, relay_server, spec
from tests.support.stores import Store

if TYPE_CHECKING:
    Scaler = externalscaler_pb2_grpc.ExternalScalerAsyncStub


@pytest.fixture(autouse=True)
def fresh_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call reads anew, so that what a test did is seen at once."""
    monkeypatch.setattr(scaler_reads, "FRESH_S", 0.0)


@pytest.fixture
def scaler(relay: Relay) -> "Scaler":
    return externalscaler_pb2_grpc.ExternalScalerStub(relay.channel)


def trigger(queue: str, **metadata: str) -> pb.ScaledObjectRef:
    targets = {"targetBacklogPerWorker": "2"} | metadata
    return pb.ScaledObjectRef(name="w", namespace="default", scalerMetadata={"queue": queue, **targets})


async def value(scaler: "Scaler", ref: pb.ScaledObjectRef, metric: str = "relay-backlog") -> float:
    reply = await scaler.GetMetrics(pb.GetMetricsRequest(scaledObjectRef=ref, metricName=metric))
    (found,) = reply.metricValues
    assert found.metricName == metric
    return found.metricValueFloat


async def pushed(stream: "grpc.aio.UnaryStreamCall[pb.ScaledObjectRef, pb.IsActiveResponse]") -> bool:
    reply = await stream.read()
    assert isinstance(reply, pb.IsActiveResponse)
    return reply.result


async def test_a_queue_never_seen_wants_no_worker(scaler: "Scaler") -> None:
    ref = trigger(new_queue())
    assert not (await scaler.IsActive(ref)).result
    assert await value(scaler, ref) == 0


async def test_waiting_and_running_jobs_are_backlog(relay: Relay, scaler: "Scaler") -> None:
    queue = new_queue()
    ref = trigger(queue, activationBacklog="4")
    await relay.enqueue(queue, *(spec() for _ in range(4)))
    assert not (await scaler.IsActive(ref)).result
    await relay.enqueue(queue, spec())
    assert (await scaler.IsActive(ref)).result
    worker = await relay.claimer(queue, max_in_flight=3)
    held = await worker.take(3)
    assert await value(scaler, ref) == 5
    await worker.ack(*held)
    held = await worker.take(2)
    assert await value(scaler, ref) == 2
    assert (await scaler.IsActive(ref)).result, "what runs keeps its worker, however little it is"
    await worker.ack(*held)
    assert await value(scaler, ref) == 0
    assert not (await scaler.IsActive(ref)).result


async def test_few_running_jobs_keep_the_workers_that_they_fill(relay: Relay, scaler: "Scaler") -> None:
    queue = new_queue()
    ref = trigger(queue, targetBacklogPerWorker="100", targetAgeSeconds="30")
    await relay.enqueue(queue, *(spec() for _ in range(4)))
    for _ in range(2):
        worker = await relay.claimer(queue, max_in_flight=2)
        await worker.take(2)

    async def both_known() -> bool:
        return await value(scaler, ref) == 200

    await eventually(both_known, what="the metric of two full workers")
    assert await value(scaler, ref, "relay-age") == 60


async def test_the_age_is_that_of_the_oldest_waiting_job(relay: Relay, scaler: "Scaler") -> None:
    queue = new_queue()
    ref = trigger(queue, targetAgeSeconds="0.5", activationBacklog="100")
    await relay.enqueue(queue)

    async def old() -> bool:
        return await value(scaler, ref, "relay-age") >= 0.5

    await eventually(old, what="half a second of age")
    assert (await scaler.IsActive(ref)).result


async def test_activity_is_pushed_as_it_changes(relay: Relay, scaler: "Scaler") -> None:
    queue = new_queue()
    stream = scaler.StreamIsActive(trigger(queue))
    assert not await pushed(stream)
    polls = relay.admin.WatchStats(admin.WatchStatsRequest())
    for _ in range(3):
        await polls.read()  # nothing changes, so nothing is pushed
    polls.cancel()
    await relay.enqueue(queue)
    assert await pushed(stream)
    worker = await relay.claimer(queue)
    await worker.ack(*await worker.take(1))
    assert not await pushed(stream)
    stream.cancel()


async def test_a_paused_queue_wants_workers_for_its_running_jobs_alone(
    relay: Relay, scaler: "Scaler"
) -> None:
    queue = new_queue()
    ref = trigger(queue, targetAgeSeconds="0.001")
    await relay.enqueue(queue)
    await relay.admin.PauseQueue(admin.PauseQueueRequest(queue=queue))
    assert not (await scaler.IsActive(ref)).result
    assert await value(scaler, ref) == await value(scaler, ref, "relay-age") == 0


async def test_the_specs_of_both_calls_are_the_same(scaler: "Scaler") -> None:
    ref = trigger("q", targetAgeSeconds="30.5")
    reply = await scaler.GetMetricSpec(ref)
    assert {spec.metricName: spec.targetSizeFloat for spec in reply.metricSpecs} == {
        "relay-backlog": 2,
        "relay-age": 30.5,
    }
    stream = scaler.StreamMetricSpec(ref)
    assert await stream.read() == reply
    stream.cancel()


async def test_streams_end_when_the_server_does(relay: Relay, scaler: "Scaler") -> None:
    streams = (scaler.StreamMetricSpec(trigger("q")), scaler.StreamIsActive(trigger("q")))
    for stream in streams:
        await stream.read()
    assert relay.stop is not None
    await relay.stop()
    for stream in streams:
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await stream.read()
        assert ended.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_wrong_triggers_are_refused_by_every_call(scaler: "Scaler") -> None:
    wrong = trigger("not a queue", targetBacklogPerWorker="no")
    for call in (
        scaler.IsActive(wrong),
        scaler.StreamIsActive(wrong),
        scaler.GetMetricSpec(wrong),
        scaler.StreamMetricSpec(wrong),
        scaler.GetMetrics(pb.GetMetricsRequest(scaledObjectRef=wrong)),
    ):
        refused = await refusal(call)
        assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
        assert list(refused.fields) == ["queue", "targetBacklogPerWorker"]
    unknown = pb.GetMetricsRequest(scaledObjectRef=trigger("q"), metricName="relay-age")
    refused = await refusal(scaler.GetMetrics(unknown))
    assert list(refused.fields) == ["metricName"]
    assert "relay-backlog" in refused.text


async def test_a_flood_of_questions_reads_the_store_once(
    redis_url: str, relay_redis: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a queue that is there, of names that nobody used, and of both metrics."""
    monkeypatch.setattr(scaler_reads, "FRESH_S", 60.0)
    async with relay_server(redis_url) as relay:
        scaler: Scaler = externalscaler_pb2_grpc.ExternalScalerStub(relay.channel)
        queue = new_queue()
        await relay.enqueue(queue)
        names, listed = relay.app.engine.names, 0
        read_names = names.all

        async def counted() -> list[str]:
            nonlocal listed
            listed += 1
            return await read_names()

        monkeypatch.setattr(names, "all", counted)

        async def read() -> dict[str, int]:
            async with relay_redis.raw_client() as client:
                commands = await calls(client)
            scripts = {one.name: one.calls for one in relay.app.metrics.script_timings()}
            return {"hgetall": commands["hgetall"], "stats": scripts.get("stats", 0), "names": listed}

        before = await read()
        for _ in range(50):  # each leaves before the next comes, so that nobody watches in between
            stream = scaler.StreamIsActive(trigger(queue))
            assert await pushed(stream)
            stream.cancel()
        refs = [trigger(queue), *(trigger(new_queue()) for _ in range(50))]
        for ref in refs:
            await asyncio.gather(
                *(scaler.IsActive(ref) for _ in range(4)), *(value(scaler, ref) for _ in range(4))
            )
        after = await read()
    # The sampler of this server looks now and then, too, and a stream twice a second.
    assert {name: asked for name in after if (asked := after[name] - before.get(name, 0)) > 6} == {}
