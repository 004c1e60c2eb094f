"""Claim, rules 3, 6 and 7: what becomes of jobs when streams end, break and stall, and how long they last."""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable

import grpc
import pytest

from relay.v1 import queue_service_pb2 as pb
from relay_conformance.proxy import proxying
from relay_server import limits
from relay_server.claims.session import Terms
from relay_server.claims.stream import ClaimStream
from tests.integration.claim_states import BIG, reconnect, returned, session_of, stalled
from tests.support.redis_server import RedisServer
from tests.support.relay import (
    Relay,
    connect,
    connected,
    eventually,
    new_queue,
    relay_server,
    seconds,
    server_program,
    spec,
)

Start = Callable[..., Awaitable[Relay]]


@pytest.fixture
def queue() -> str:
    return new_queue()


# --- rule 3: what was not sent goes back


@pytest.mark.one_server
async def test_rule_3_a_client_that_leaves_between_claim_and_send(
    relay_redis: RedisServer, redis_url: str, relay: Relay, queue: str
) -> None:
    """The script has run, its reply is on the way, the client cancels: the jobs are ready again, attempt returned."""
    async with (
        proxying(relay_redis.socket) as proxy,
        relay_server(f"redis://{proxy.address}") as slow,
    ):
        await relay.enqueue(queue, *(spec() for _ in range(5)))
        proxy.delay_s = 0.2
        leaving = await slow.claimer(queue)

        async def taken() -> bool:
            return (await relay.stats(queue)).inflight == 5

        await eventually(taken)
        assert leaving.received == 0
        await leaving.close()
        proxy.delay_s = 0
        await eventually(lambda: returned(relay, queue, 5), within=2)
    worker = await relay.claimer(queue)
    assert [held.job.attempt for held in await worker.take(5)] == [1] * 5
    assert (await relay.stats(queue)).counters["handed_back"] == 5


async def test_rule_3_jobs_that_a_stalled_client_left_unread_go_back_to_their_old_place(
    relay: Relay, queue: str
) -> None:
    worker = await stalled(relay, queue, jobs=56)
    session = session_of(relay, worker)
    await worker.close()
    await eventually(lambda: not session.parcels)
    sent = session.sent
    await eventually(lambda: returned(relay, queue, 56 - sent, sent), within=2, what="what was not sent")
    later = await relay.enqueue(queue, spec(type="later"))
    other = await relay.claimer(queue, max_in_flight=100)
    held = await other.take(57 - sent)
    assert held[-1].id == later[0]
    assert [one.id for one in held] == sorted(one.id for one in held)


class BrokenOff:
    """The server's side of a stream that delivers each frame, and breaks before the server hears of a frame of jobs."""

    def __init__(self) -> None:
        self.jobs: list[pb.Jobs] = []

    async def write(self, frame: pb.ClaimResponse) -> None:
        if frame.WhichOneof("frame") == "jobs":
            self.jobs.append(frame.jobs)
            await asyncio.Event().wait()


@pytest.mark.parametrize("knowing", [None, True, False], ids=["gone", "received-it", "did-not"])
async def test_rule_3_a_frame_whose_write_had_begun_may_have_arrived(
    relay: Relay, queue: str, knowing: bool | None
) -> None:
    """Its jobs stay under lease: another worker would run them at the same time. Who is back settles the doubt."""
    streams = relay.app.streams
    terms = Terms(
        worker_id="w",
        client_version="",
        queues={queue: 1},
        max_in_flight=3,
        lease_ms=30_000,
        grace_ms=30_000,
    )
    await relay.enqueue(queue, *(spec(BIG) for _ in range(3)))
    session = streams.open("", "anyone", terms, 0)
    broken = BrokenOff()
    serving = asyncio.create_task(streams.serve(session, broken.write, {}))
    await eventually(lambda: broken.jobs)
    serving.cancel()
    await eventually(lambda: returned(relay, queue, 2, 1), within=1)
    (frame,) = broken.jobs
    arrived = pb.LeaseGroup(queue=queue, lease_token=frame.lease_token, job_ids=[frame.jobs[0].job.id])
    if knowing is not None:
        back = await relay.claimer(
            {new_queue(): 1},
            max_in_flight=3,
            session_id=relay.app.sessions.name(session),
            in_flight=int(knowing),
            leases=[arrived] if knowing else [],
        )
        if not knowing:
            await eventually(lambda: returned(relay, queue, 3), within=1)
            other = await relay.claimer(queue, max_in_flight=3)
            assert [held.job.attempt for held in await other.take(3)] == [1] * 3
            return
        assert await back.quiet() == 1
    assert await returned(relay, queue, 2, 1)
    reply = await relay.queue.Ack(pb.AckRequest(leases=[arrived]))
    assert list(reply.outcomes) == [pb.LEASE_OUTCOME_OK]


async def test_a_worker_that_does_not_name_all_it_holds_leaves_the_doubt(relay: Relay, queue: str) -> None:
    worker = await stalled(relay, queue, jobs=56)
    sent = worker.received
    idle = new_queue()
    await relay.claimer(idle, session_id=worker.started.session_id, in_flight=sent, max_in_flight=56)
    await eventually(lambda: returned(relay, queue, 56 - sent, sent), within=2)


async def test_a_worker_that_names_as_many_as_it_may_leaves_the_doubt(relay: Relay, queue: str) -> None:
    """It may hold more leases than it may name: that a job is not among them says nothing."""
    worker = await stalled(relay, queue, jobs=56)
    sent = worker.received
    idle = new_queue()
    ids = [str(uuid.uuid4()) for _ in range(limits.IN_FLIGHT_MAX)]
    back = await relay.claimer(
        idle,
        session_id=worker.started.session_id,
        in_flight=len(ids),
        max_in_flight=len(ids),
        leases=[pb.LeaseGroup(queue=idle, lease_token=bytes(16), job_ids=ids)],
    )
    await eventually(lambda: returned(relay, queue, 56 - sent, sent), within=2)
    assert len((await back.frame("cancel")).cancel.jobs) > 0, "the server has looked at the list"
    assert await returned(relay, queue, 56 - sent, sent)


async def test_rule_3_a_frame_that_waited_for_half_its_lease_goes_back(relay: Relay, queue: str) -> None:
    """The client stays and does not read. What still waits in the server is somebody else's after half of a lease."""
    worker = await stalled(relay, queue, jobs=56, lease=8)
    session = session_of(relay, worker)
    other = await relay.claimer(queue, max_in_flight=100)
    # All but what left the server or began to: gRPC may take a frame more while this waits.
    await eventually(lambda: other.received == 56 - session.sent, within=7)
    assert {one.job.attempt for one in other.rest()} == {1}
    assert (await relay.stats(queue)).counters.get("expired", 0) == 0
    assert await other.quiet() == len(other.unsettled)


async def test_i15_sigterm_returns_unsent_jobs_within_a_second_also_from_a_stalled_client(
    redis_url: str, another: Start, queue: str
) -> None:
    watcher = await another()
    async with relay_server(redis_url, drain_grace_s=1.5) as relay:
        worker = await stalled(relay, queue, jobs=56)
        sent = worker.received
        assert relay.stop is not None
        started = time.monotonic()
        stopping = asyncio.ensure_future(relay.stop())
        await eventually(lambda: returned(watcher, queue, 56 - sent, sent), within=2)
        assert time.monotonic() - started < 1
        await stopping
        assert time.monotonic() - started < 3


async def test_a_client_that_never_reads_does_not_hold_up_the_end(redis_url: str, queue: str) -> None:
    """Its stream was ended by the server's own decision: nothing is left to wait for, whatever the grace."""
    async with relay_server(redis_url, drain_grace_s=60) as relay:
        await stalled(relay, queue, jobs=56)
        assert relay.stop is not None
        await asyncio.wait_for(relay.stop(), 10)


async def test_a_stream_that_another_took_over_does_not_hold_up_the_end(redis_url: str, queue: str) -> None:
    async with relay_server(redis_url, drain_grace_s=60) as relay:
        worker = await stalled(relay, queue, jobs=56)
        back = await reconnect(worker, relay, queues={new_queue(): 1})
        assert relay.stop is not None
        await asyncio.wait_for(relay.stop(), 10)
        assert isinstance(await back.end(), StopAsyncIteration)


async def test_a_vanished_worker_does_not_hold_up_the_end(redis_url: str, queue: str) -> None:
    async with relay_server(redis_url) as relay:
        await relay.enqueue(queue)
        worker = await relay.claimer(queue, grace=600)
        await worker.take(1)
        await worker.close()
        await eventually(lambda: len(relay.app.streams) == 0)
        assert relay.stop is not None
        await asyncio.wait_for(relay.stop(), 10)


@pytest.mark.one_server
async def test_sigterm_ends_streams_with_drain_and_lets_calls_finish(
    redis_url: str, relay_redis: RedisServer, another: Start, queue: str
) -> None:
    watcher = await another()
    async with (
        proxying(relay_redis.socket) as proxy,
        relay_server(f"redis://{proxy.address}") as relay,
    ):
        worker = await relay.claimer(queue, max_in_flight=5)
        await relay.enqueue(queue, *(spec() for _ in range(10)))
        held = await worker.take(5)
        proxy.delay_s = 0.1
        unary = asyncio.ensure_future(relay.queue.Enqueue(pb.EnqueueRequest(queue=queue, job=spec())))
        await asyncio.wait({unary}, timeout=0.05)
        assert relay.stop is not None
        await relay.stop()
        assert (await unary).job_id
        assert worker.kinds()[-1] == "drain"
        assert isinstance(await worker.end(), StopAsyncIteration)
    # The leases stand, on any server.
    assert await worker.ack(*held, via=watcher) == [pb.LEASE_OUTCOME_OK] * 5


async def test_the_program_drains_on_sigterm(redis_url: str, relay: Relay, queue: str) -> None:
    async with server_program("--redis-url", redis_url) as program, connected(program.address) as remote:
        worker = await remote.claimer(queue)
        program.terminate()
        assert (await worker.frame("drain")).drain.reconnect_after.ToMilliseconds() <= 1000
        assert await program.exit_code() == 0


async def test_each_of_many_streams_is_told_to_drain_on_a_slow_machine(
    redis_url: str, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One after the other they take longer than what is given to one that does not read."""
    turn, write = asyncio.Lock(), ClaimStream._write

    async def slow_write(stream: ClaimStream, frame: pb.ClaimResponse) -> None:
        async with turn:
            await asyncio.sleep(0.03)
            await write(stream, frame)

    async with relay_server(redis_url) as relay:
        workers = [await relay.claimer(queue) for _ in range(40)]
        monkeypatch.setattr(ClaimStream, "_write", slow_write)
        assert relay.stop is not None
        await relay.stop()
        for worker in workers:
            assert isinstance(await worker.end(), StopAsyncIteration)
            assert worker.kinds()[-1] == "drain"


async def test_jobs_that_a_killed_client_had_not_read_are_handed_back(relay: Relay, queue: str) -> None:
    """The connection breaks without a word, as with SIGKILL."""
    await relay.enqueue(queue, *(spec(BIG) for _ in range(14)))
    host, port = relay.address.split(":")
    async with proxying((host, int(port))) as proxy, connect(proxy.address) as channel:
        remote = Relay(proxy.address, channel)
        worker = await remote.claimer(queue, max_in_flight=1)
        (held,) = await worker.take(1)
        proxy.cut()
        await worker.end()
        await eventually(lambda: len(relay.app.streams) == 0)
    # What it had read is under its lease until that runs out.
    stats = await relay.stats(queue)
    assert (stats.ready, stats.inflight) == (13, 1)
    assert await worker.ack(held, via=relay, report=False) == [pb.LEASE_OUTCOME_OK]


async def test_opening_and_cancelling_streams_leaks_nothing(relay: Relay, queue: str) -> None:
    """2 000 times. A handler that swallowed its CancelledError would leave the call inside grpc (grpc#43360)."""
    cancelled: list[BaseException] = []
    serve = relay.app.streams.serve

    async def watched(*args: object) -> None:
        try:
            await serve(*args)  # type: ignore[arg-type]
        except BaseException as error:
            cancelled.append(error)
            raise

    relay.app.streams.serve = watched  # type: ignore[method-assign, assignment]
    request = pb.ClaimRequest(queues=[pb.QueueWeight(queue=queue)], worker_id="w", max_in_flight=1)

    async def cycle() -> None:
        call = relay.queue.Claim(request)
        assert await call.read() is not grpc.aio.EOF
        call.cancel()

    await asyncio.gather(*(cycle() for _ in range(20)))
    tasks = len(asyncio.all_tasks())
    for _ in range(99):
        await asyncio.gather(*(cycle() for _ in range(20)))
    await eventually(lambda: len(relay.app.streams) == 0)
    await eventually(lambda: len(asyncio.all_tasks()) <= tasks, what="no tasks left over")
    assert len(cancelled) == 2000
    assert all(isinstance(error, asyncio.CancelledError) for error in cancelled)
    assert list(relay.app.sessions) == []
    assert relay.app.sessions.tokens == 0
    await eventually(lambda: not relay.app.dispatchers.running)


# --- rule 6: streams do not last for ever


async def test_rule_6_a_stream_of_age_ends_with_drain(redis_url: str, queue: str) -> None:
    async with relay_server(redis_url, stream_age_max_s=1, keep_alive_s=600) as relay:
        started = time.monotonic()
        worker = await relay.claimer(queue)
        await worker.frame("drain", within=3)
        assert 0.7 < time.monotonic() - started < 1.6
        assert isinstance(await worker.end(), StopAsyncIteration)


# --- rule 7: time


async def test_rule_7_a_lease_is_told_as_a_length(relay: Relay, queue: str) -> None:
    await relay.enqueue(queue)
    worker = await relay.claimer(queue, lease=20)
    frame = (await worker.frame("jobs")).jobs
    assert 19_000 < frame.lease_remaining.ToMilliseconds() <= 20_000
    assert abs(frame.lease_deadline.ToMilliseconds() - time.time() * 1000 - 20_000) < 1000


async def test_rule_7_extend_never_goes_past_max_runtime_and_ten_seconds(relay: Relay, queue: str) -> None:
    await relay.enqueue(queue, spec(max_runtime=seconds(2)))
    worker = await relay.claimer(queue, lease=30)
    (held,) = await worker.take(1)
    (result,) = await worker.extend(held)
    assert result.outcome == pb.LEASE_OUTCOME_OK
    assert 11_000 < result.lease_remaining.ToMilliseconds() <= 12_000


async def test_a_keep_alive_tells_the_count_after_each_silence(relay: Relay, queue: str) -> None:
    await relay.enqueue(queue, *(spec() for _ in range(3)))
    worker = await relay.claimer(queue, max_in_flight=5)
    await worker.take(3)
    assert [await worker.quiet() for _ in range(2)] == [3, 3]
    await worker.ack(*worker.unsettled.values())
    assert await worker.quiet() == 0


async def test_a_server_that_drains_refuses_new_streams(relay: Relay, queue: str) -> None:
    await relay.app.streams.drain(0)
    worker = relay.claimer_of(
        pb.ClaimRequest(queues=[pb.QueueWeight(queue=queue)], worker_id="w", max_in_flight=1)
    )
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await worker.open()
    assert raised.value.code() == grpc.StatusCode.UNAVAILABLE
