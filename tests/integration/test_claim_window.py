"""Claim, rules 1 and 2: a session never has more than max_in_flight unsettled jobs, whatever is lost or late."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from relay.v1 import queue_service_pb2 as pb
from relay_server.limits import FRAME_JOBS_MAX
from tests.support.relay import Relay, eventually, lease_groups, new_queue, refusal, relay_server, spec
from tests.support.seams import forward_reports_by

Start = Callable[..., Awaitable[Relay]]


@pytest.fixture
def queue() -> str:
    return new_queue()


async def test_rule_1_the_window_is_never_exceeded_over_several_queues_together(relay: Relay) -> None:
    queues = [new_queue() for _ in range(4)]
    for name in queues:
        await relay.enqueue(name, *(spec() for _ in range(50)))
    worker = await relay.claimer(dict.fromkeys(queues, 1), max_in_flight=10)
    done = 0
    while done < 200:
        held = worker.rest()
        assert len(worker.unsettled) <= 10
        if held:
            await worker.ack(*held)
            done += len(held)
        else:
            await asyncio.sleep(0.001)
    assert await worker.quiet() == 0


async def test_a_full_window_holds_with_jobs_waiting(relay: Relay, queue: str) -> None:
    await relay.enqueue(queue, *(spec() for _ in range(100)))
    worker = await relay.claimer(queue, max_in_flight=7)
    await worker.take(7)
    assert await worker.quiet() == 7
    assert worker.received == 7
    stats = await relay.stats(queue)
    assert (stats.ready, stats.inflight) == (93, 7)


async def test_rule_2_64_sent_10_received_1_acked_and_the_window_holds(relay: Relay, queue: str) -> None:
    """What is on the wire counts: a worker that has seen 10 of 64 and finished one frees one slot, not 55."""
    await relay.enqueue(queue, *(spec() for _ in range(300)))
    worker = await relay.claimer(queue, max_in_flight=64)
    held = await worker.take(64)
    worker.settled(held[:1])
    # The worker's own words, from a moment when it had read ten of the jobs.
    report = worker.report(received=10, in_flight=9)
    await relay.queue.Ack(pb.AckRequest(leases=lease_groups(held[:1]), window=report))
    await worker.take(1)
    assert await worker.quiet() == 64
    assert worker.received == 65
    assert len(worker.unsettled) == 64


async def test_an_older_report_is_ignored(relay: Relay, queue: str) -> None:
    await relay.enqueue(queue, *(spec() for _ in range(10)))
    worker = await relay.claimer(queue, max_in_flight=4)
    await worker.take(4)
    older = worker.report(in_flight=0)
    await worker.restate()  # newer, and true: four in flight
    await worker.restate(window=older)
    assert await worker.quiet() == 4
    assert worker.received == 4


@pytest.mark.parametrize("elsewhere", [False, True], ids=["same-server", "another-server"])
async def test_a_late_report_of_the_former_stream_is_not_one_of_the_new(
    relay: Relay, another: Start, queue: str, elsewhere: bool
) -> None:
    """It counts receipts of the former stream: taken for the new one's it would hide jobs that are on the wire."""
    target = await another() if elsewhere else relay
    await relay.enqueue(queue, *(spec() for _ in range(40)))
    worker = await relay.claimer(queue, max_in_flight=10)
    held = await worker.take(10)
    worker.settled(held)  # says so in a call that is long under way
    late = worker.report()
    back = await target.claimer(
        queue, max_in_flight=10, session_id=worker.started.session_id, in_flight=0, seq=worker.seq - 1
    )
    assert back.started.stream not in {0, worker.started.stream}
    await back.take(10)
    await target.queue.Ack(pb.AckRequest(leases=lease_groups(held), window=late))
    assert await back.quiet() == 10
    assert back.received == 10
    # A client that knows no numbers is taken at its word.
    back.settled(back.unsettled.copy().values())
    unnumbered = back.report()
    unnumbered.stream = 0
    await back.restate(window=unnumbered)
    await back.take(10)


async def test_a_report_opens_the_window_at_once(relay: Relay, queue: str) -> None:
    await relay.enqueue(queue, *(spec() for _ in range(6)))
    worker = await relay.claimer(queue, max_in_flight=2)
    for _ in range(3):
        await worker.ack(*await worker.take(2, within=0.25))


async def test_a_worker_that_never_reports_is_counted_by_its_settles(relay: Relay, queue: str) -> None:
    await relay.enqueue(queue, *(spec() for _ in range(6)))
    worker = await relay.claimer(queue, max_in_flight=2)
    for _ in range(3):
        held = await worker.take(2)
        assert len(worker.unsettled) == 2
        await worker.ack(held[0], report=False)
        await worker.nack(held[1], kind=pb.NACK_KIND_DEAD, report=False)
    assert await worker.quiet() == 0


async def test_a_settle_on_another_server_is_forwarded(relay: Relay, another: Start, queue: str) -> None:
    other = await another()
    await relay.enqueue(queue, *(spec() for _ in range(4)))
    worker = await relay.claimer(queue, max_in_flight=2)
    assert await worker.ack(*await worker.take(2), via=other) == [pb.LEASE_OUTCOME_OK] * 2
    await worker.take(2, within=0.25)  # sooner than any KeepAlive


async def test_a_settle_on_the_server_that_the_session_left_is_forwarded(
    relay: Relay, another: Start, queue: str
) -> None:
    """The server that the session left waits for it to come back, because a job of it is still leased."""
    other = await another()
    await relay.enqueue(queue, spec())
    left = await relay.claimer(queue, max_in_flight=3, grace=30)
    held = await left.take(1)
    await left.close()
    worker = await other.claimer(queue, max_in_flight=3, session_id=left.started.session_id, in_flight=1)
    worker.unsettled |= {one.id: one for one in held}
    await relay.enqueue(queue, *(spec() for _ in range(4)))
    assert await worker.ack(*await worker.take(2), via=relay) == [pb.LEASE_OUTCOME_OK] * 2
    await worker.take(2, within=0.25)  # sooner than any KeepAlive


async def test_when_the_forward_is_lost_the_window_heals_by_restating(
    relay: Relay, another: Start, queue: str
) -> None:
    """The next KeepAlive shows a count that is not the worker's; the worker restates, here through its own server."""
    other = await another()
    lost: list[bytes] = []

    async def lose(server_id: str, message: bytes) -> None:
        lost.append(message)

    forward_reports_by(other.app, lose)
    await relay.enqueue(queue, *(spec() for _ in range(4)))
    worker = await relay.claimer(queue, max_in_flight=2)
    held = await worker.take(2)
    await worker.restate()  # from now on only its reports count
    await worker.ack(*held, via=other)
    assert await worker.quiet() == 2
    assert lost
    assert worker.unsettled == {}
    await worker.restate()
    await worker.take(2, within=0.25)


async def test_without_reports_a_window_heals_by_asking_the_store(
    relay: Relay, another: Start, queue: str
) -> None:
    """A worker too simple to report settles elsewhere: at a KeepAlive the server looks which leases are left."""
    other = await another()
    await relay.enqueue(queue, *(spec() for _ in range(4)))
    worker = await relay.claimer(queue, max_in_flight=2)
    await worker.ack(*await worker.take(2), via=other, report=False)
    await worker.take(2)


async def test_a_token_never_crosses_sessions(relay: Relay, queue: str) -> None:
    await relay.enqueue(queue, *(spec() for _ in range(200)))
    workers = [await relay.claimer(queue, max_in_flight=20) for _ in range(5)]
    for worker in workers:
        await worker.take(20)
    tokens = [{held.token for held in worker.unsettled.values()} for worker in workers]
    assert len(set[bytes]().union(*tokens)) == sum(map(len, tokens))
    ids = [id_ for worker in workers for id_ in worker.unsettled]
    assert len(ids) == len(set(ids)) == 100


async def test_a_token_of_one_session_does_not_settle_the_jobs_of_another(relay: Relay, queue: str) -> None:
    await relay.enqueue(queue, spec(), spec())
    one = await relay.claimer(queue, max_in_flight=1)
    (mine,) = await one.take(1)
    two = await relay.claimer(queue, max_in_flight=1)
    (theirs,) = await two.take(1)
    assert await one.ack(theirs._replace(token=mine.token)) == [pb.LEASE_OUTCOME_LEASE_LOST]
    assert await two.ack(theirs) == [pb.LEASE_OUTCOME_OK]


async def test_frames_hold_at_most_64_jobs_and_256_kib(relay: Relay, queue: str) -> None:
    big = b"x" * 100_000
    await relay.enqueue(queue, *(spec() for _ in range(100)))
    await relay.enqueue(queue, *(spec(big) for _ in range(6)), spec(b"y" * 600_000))
    worker = await relay.claimer(queue, max_in_flight=200)
    await worker.take(107)
    frames = [frame.jobs for frame in worker.frames if frame.WhichOneof("frame") == "jobs"]
    assert max(len(frame.jobs) for frame in frames) == FRAME_JOBS_MAX
    for frame in frames:
        size = sum(len(job.job.payload) for job in frame.jobs)
        assert size <= 256 * 1024 or len(frame.jobs) == 1


async def test_weights_share_the_window_between_queues_that_have_jobs(relay: Relay) -> None:
    heavy, light = new_queue(), new_queue()
    for name in (heavy, light):
        await relay.enqueue(name, *(spec() for _ in range(300)))
    worker = await relay.claimer({heavy: 3, light: 1}, max_in_flight=8)
    got = {heavy: 0, light: 0}
    while sum(got.values()) < 200:
        held = await worker.take(1)
        held += worker.rest()
        for one in held:
            got[one.queue] += 1
        await worker.ack(*held)
    assert 130 <= got[heavy] <= 170, got


async def test_a_queue_alone_with_jobs_gets_the_whole_window(relay: Relay) -> None:
    busy, empty = new_queue(), new_queue()
    await relay.enqueue(busy, *(spec() for _ in range(8)))
    worker = await relay.claimer({busy: 1, empty: 100}, max_in_flight=8)
    await worker.take(8)


async def test_streams_beyond_the_limit_are_refused_and_admitted_when_one_ends(redis_url: str) -> None:
    async with relay_server(redis_url, streams_max=2) as relay:
        first = await relay.claimer("q")
        await relay.claimer("q")
        request = first.request
        refused = await refusal(relay.queue.Claim(request))
        assert (refused.code.name, refused.reason) == ("RESOURCE_EXHAUSTED", "OVERLOADED")
        assert refused.retry_after_s == 5
        await first.close()
        await eventually(lambda: len(relay.app.streams) == 1)
        await relay.claimer("q")


async def test_a_full_server_still_lets_a_worker_replace_its_own_stream(redis_url: str) -> None:
    async with relay_server(redis_url, streams_max=1) as relay:
        first = await relay.claimer("q")  # cut off, say, and the server does not know yet
        await relay.claimer("q", session_id=first.started.session_id)
        assert len(relay.app.streams) == 1


async def test_rule_5_streams_are_fed_from_the_backlog_in_its_order(relay: Relay, queue: str) -> None:
    """A waiting stream gives no job a way past the ones before it, not even past one that is more urgent."""
    worker = await relay.claimer(queue, max_in_flight=1)
    (first,) = await relay.enqueue(queue, spec(type="first"))
    (held,) = await worker.take(1)
    assert held.id == first
    await relay.enqueue(queue, *(spec(type=f"later-{i}") for i in range(3)), spec(type="urgent", priority=9))
    order = []
    for _ in range(4):
        await worker.ack(held)
        (held,) = await worker.take(1)
        order.append(held.job.job.type)
    assert order == ["urgent", "later-0", "later-1", "later-2"]


async def test_a_worker_may_have_more_than_its_window_after_a_failed_settle(relay: Relay) -> None:
    """It was given others in their place, and counts them again: it gets nothing new, and is not refused."""
    claimer = await relay.claimer(new_queue(), max_in_flight=10_000, in_flight=10_500)
    report = claimer.report(in_flight=10_501)
    await relay.queue.Extend(pb.ExtendRequest(window=report))
    assert await claimer.quiet() == 10_501
