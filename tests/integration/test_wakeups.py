"""What wakes a dispatcher that found nothing: promptly, by a message, and without asking Redis all the time."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from relay.v1 import admin_service_pb2, dead_letter_service_pb2
from relay.v1 import queue_service_pb2 as pb
from tests.support.redis_server import RedisServer
from tests.support.relay import Claimer, Relay, eventually, new_queue, seconds, spec

Start = Callable[..., Awaitable[Relay]]
PROMPT_S = 1.0  # a dispatcher looks by itself after 4 s at the earliest


@pytest.fixture
def queue() -> str:
    return new_queue()


async def asleep(relay: Relay, queue: str) -> Claimer:
    """A worker whose dispatcher has found nothing and waits."""
    worker = await relay.claimer(queue)
    dispatcher = relay.app.dispatchers.running[queue]
    await eventually(lambda: not dispatcher.looking, what="a sleeping dispatcher")
    return worker


async def test_an_enqueue_on_another_server(relay: Relay, another: Start, queue: str) -> None:
    other = await another()
    worker = await asleep(relay, queue)
    started = time.monotonic()
    await other.enqueue(queue)
    await worker.take(1, within=PROMPT_S)
    assert time.monotonic() - started < PROMPT_S


async def test_a_job_due_sooner_than_the_one_waited_for(relay: Relay, another: Start, queue: str) -> None:
    other = await another()
    await relay.enqueue(queue, spec(type="late", delay=seconds(60)))
    worker = await asleep(relay, queue)
    await other.enqueue(queue, spec(type="soon", delay=seconds(0.2)))
    (held,) = await worker.take(1, within=0.2 + PROMPT_S)
    assert held.job.job.type == "soon"


async def test_a_delayed_job_that_an_operator_runs_now(relay: Relay, another: Start, queue: str) -> None:
    other = await another()
    (job_id,) = await relay.enqueue(queue, spec(delay=seconds(60)))
    worker = await asleep(relay, queue)
    await other.admin.RunJobNow(admin_service_pb2.RunJobNowRequest(queue=queue, job_id=job_id))
    await worker.take(1, within=PROMPT_S)


async def test_resume(relay: Relay, another: Start, queue: str) -> None:
    other = await another()
    await relay.enqueue(queue)
    await other.admin.PauseQueue(admin_service_pb2.PauseQueueRequest(queue=queue))
    worker = await asleep(relay, queue)
    assert await worker.quiet() == 0
    await other.admin.ResumeQueue(admin_service_pb2.ResumeQueueRequest(queue=queue))
    await worker.take(1, within=PROMPT_S)


async def test_a_raised_rate(relay: Relay, another: Start, queue: str) -> None:
    other = await another()
    await _limit(other, queue, rate=0.01)
    await relay.enqueue(queue, spec(), spec())
    worker = await relay.claimer(queue)
    await worker.take(1)
    assert await worker.quiet() == 1  # the next one in 100 s
    await _limit(other, queue, rate=1000)
    await worker.take(1, within=PROMPT_S)


async def test_a_requeue(relay: Relay, another: Start, queue: str) -> None:
    other = await another()
    await relay.enqueue(queue)
    worker = await asleep(relay, queue)
    (held,) = await worker.take(1)
    await worker.nack(held, kind=pb.NACK_KIND_DEAD)
    dispatcher = relay.app.dispatchers.running[queue]
    await eventually(lambda: not dispatcher.looking)
    request = dead_letter_service_pb2.RequeueDeadLettersRequest(
        queue=queue, ids=dead_letter_service_pb2.JobIds(ids=[held.id])
    )
    async for _ in other.dead_letters.RequeueDeadLetters(request):
        pass
    (again,) = await worker.take(1, within=PROMPT_S)
    assert (again.id, again.job.attempt) == (held.id, 1)
    assert again.job.epoch > held.job.epoch


async def test_a_rate_limit_is_kept_and_wakes_by_itself(relay: Relay, queue: str) -> None:
    await _limit(relay, queue, rate=20, burst=1)
    await relay.enqueue(queue, *(spec() for _ in range(11)))
    worker = await relay.claimer(queue, max_in_flight=100)
    await worker.take(1)
    started = time.monotonic()
    await worker.take(10)
    assert 0.45 <= time.monotonic() - started < 2


async def test_delayed_jobs_are_promoted_after_a_restart_with_no_client(
    relay: Relay, another: Start, queue: str
) -> None:
    await relay.enqueue(queue, *(spec(delay=seconds(0.3)) for _ in range(3)))
    assert relay.stop is not None
    await relay.stop()
    watcher = await another()

    async def promoted() -> bool:
        stats = await watcher.stats(queue)
        return (stats.ready, stats.delayed) == (3, 0)

    await eventually(promoted, within=8, what="three promoted jobs")


@pytest.mark.one_server
async def test_idle_traffic_does_not_grow_with_streams(
    relay: Relay, relay_redis: RedisServer, queue: str
) -> None:
    """Scripts run in 1.5 s of idling with 1 stream and with 50: those of the loops, none for each stream."""
    async with relay_redis.client() as client:

        async def scripts() -> int:
            info = await client.info("commandstats")
            return int(info.get("cmdstat_evalsha", {}).get("calls", 0))

        async def idle() -> int:
            before = await scripts()
            await asyncio.sleep(1.5)
            return await scripts() - before

        await asleep(relay, queue)
        one = await idle()
        for _ in range(49):
            await relay.claimer(queue)
        dispatcher = relay.app.dispatchers.running[queue]
        await eventually(lambda: not dispatcher.looking)
        fifty = await idle()
    print(f"scripts in 1.5 s of idling: {one} with 1 stream, {fifty} with 50")
    assert fifty <= one + 4


async def _limit(relay: Relay, queue: str, *, rate: float, burst: int = 1) -> None:
    settings = admin_service_pb2.QueueSettings(rate=rate, burst=burst)
    await relay.admin.UpdateQueue(admin_service_pb2.UpdateQueueRequest(queue=queue, settings=settings))
