"""Leases that end while no server is there to extend them: time to come back, then no attempt is used (adr/0013)."""

import pytest

from relay_server.model import Extension
from relay_server.words import DeadReason, FailureKind, LeaseWord, State
from tests.support.engine import LEASE_MS, Lab, a_job

OUTAGE_MS = GRACE_MS = 10_000


async def _outage(lab: Lab, ms: int) -> None:
    """Nobody looks at the queue for this long; then a server does."""
    lab.servers_away = True
    lab.clock.advance(ms)
    await lab.transitions.reap(lab.queue)
    lab.servers_away = False


async def _after_the_grace(lab: Lab) -> None:
    lab.clock.advance(GRACE_MS)
    await lab.transitions.reap(lab.queue)


@pytest.mark.parametrize("by", ["reap", "claim"])
async def test_the_only_attempt_is_not_used(lab: Lab, by: str) -> None:
    lease = await lab.in_flight(a_job(max_attempts=1))
    lab.servers_away = True
    lab.clock.advance(LEASE_MS + 60_000)
    if by == "claim":
        assert (await lab.claim()).ids == []
    else:
        swept = await lab.transitions.reap(lab.queue)
        assert swept.next_at_ms == lab.clock.now_ms + GRACE_MS // 2
    lab.servers_away = False
    assert await lab.score("inflight", lease.id) == lab.clock.now_ms + GRACE_MS
    lab.clock.advance(GRACE_MS - 1)
    assert (await lab.claim()).ids == []
    lab.clock.advance(1)
    again = await lab.claim()
    assert (again.ids, again.jobs[0].attempt, again.jobs[0].max_attempts) == ([lease.id], 1, 1)
    counters = await lab.counters()
    assert (counters["spared"], counters.get("expired", 0)) == (1, 0)
    record = await lab.record(lease.id)
    assert record.expirations == 0
    assert await lab.ack(lease) == [LeaseWord.LEASE_LOST]
    assert await lab.ack(again.lease) == [LeaseWord.OK]


async def test_a_worker_that_still_works_comes_back_in_time(lab: Lab) -> None:
    first, second = await lab.in_flight(a_job(max_attempts=1)), await lab.in_flight(a_job(max_attempts=1))
    await _outage(lab, LEASE_MS + 60_000)
    lab.clock.advance(GRACE_MS - 1)
    await lab.transitions.reap(lab.queue)
    (extended,) = await lab.transitions.extend(lab.queue, [Extension(*first)])
    assert (extended.word, extended.left_ms) == (LeaseWord.OK, LEASE_MS)
    assert await lab.ack(second) == [LeaseWord.OK]
    await _after_the_grace(lab)
    assert await lab.where(first.id) == "inflight"
    lab.clock.advance(LEASE_MS)  # now nobody but the worker is to blame
    await lab.transitions.reap(lab.queue)
    assert (await lab.record(first.id)).reason == DeadReason.ATTEMPTS


async def test_a_lease_that_ends_shortly_after_the_outage_has_the_same_grace(lab: Lab) -> None:
    lease = await lab.in_flight(a_job(max_attempts=1))
    await _outage(lab, LEASE_MS - 5000)
    assert await lab.where(lease.id) == "inflight"
    lab.clock.advance(5000)
    await lab.transitions.reap(lab.queue)
    assert await lab.where(lease.id) == "inflight"
    lab.clock.advance(5000)
    await lab.transitions.reap(lab.queue)
    assert await lab.where(lease.id) == "ready"


async def test_a_lease_given_after_the_outage_is_counted(lab: Lab) -> None:
    await lab.in_flight()
    await _outage(lab, LEASE_MS)
    lease = await lab.in_flight(a_job(max_attempts=1), lease_ms=1000)
    lab.clock.advance(1000)
    assert (await lab.transitions.reap(lab.queue)).buried == 1
    assert await lab.where(lease.id) == "dead"


@pytest.mark.parametrize("away_ms", [OUTAGE_MS, OUTAGE_MS + 1])
async def test_a_short_silence_is_no_outage(lab: Lab, away_ms: int) -> None:
    lease = await lab.in_flight(a_job(max_attempts=1), lease_ms=away_ms - 1)
    await _outage(lab, away_ms)
    assert await lab.where(lease.id) == ("dead" if away_ms == OUTAGE_MS else "inflight")


async def test_i7_a_job_that_ends_every_server_is_buried_at_last(lab: Lab) -> None:
    """Spared three times; then its leases count as those of any job that kills its worker."""
    (job_id,) = await lab.enqueued(a_job(max_attempts=1))
    for _ in range(4):
        assert (await lab.claim()).ids == [job_id]
        await _outage(lab, LEASE_MS)
        await _after_the_grace(lab)
    assert await lab.where(job_id) == "dead"
    stored = await lab.ops.get_job(lab.queue, job_id)
    assert stored is not None
    assert [failure.kind for failure in stored.failures] == [FailureKind.OUTAGE] * 3 + [
        FailureKind.LEASE_EXPIRED
    ]
    assert (await lab.counters())["spared"] == 3


async def test_an_outage_during_the_grace_begins_another(lab: Lab) -> None:
    lease = await lab.in_flight(a_job(max_attempts=1))
    await _outage(lab, LEASE_MS)
    await _outage(lab, GRACE_MS + 50_000)
    assert await lab.score("inflight", lease.id) == lab.clock.now_ms + GRACE_MS
    await _after_the_grace(lab)
    assert await lab.where(lease.id) == "ready"
    assert (await lab.counters())["spared"] == 1


async def test_many_leases_are_spared_in_bounded_steps(lab: Lab) -> None:
    await lab.enqueued(*(a_job(max_attempts=1) for _ in range(25)))
    await lab.claim(25)
    lab.servers_away = True
    lab.clock.advance(LEASE_MS + 1000)
    steps = [await lab.transitions.reap(lab.queue, limit=10) for _ in range(3)]
    assert [swept.more for swept in steps] == [True, True, False]
    lab.servers_away = False
    lab.clock.advance(GRACE_MS)
    while (await lab.transitions.reap(lab.queue, limit=10)).more:
        pass
    assert len(await lab.ids("ready")) == 25
    assert (await lab.counters())["spared"] == 25


async def test_the_memory_of_an_outage_ends(lab: Lab) -> None:
    lease = await lab.in_flight()
    await _outage(lab, LEASE_MS)
    await lab.ack(lease)
    await _after_the_grace(lab)
    lab.clock.advance(1)
    await lab.transitions.reap(lab.queue)
    conf = (await lab.dump())["conf"]
    assert not [name for name in conf if b"outage" in name]


async def test_a_quiet_queue_is_no_outage(lab: Lab) -> None:
    """Nobody needs to look at a queue without leases; its next lease begins a new watch."""
    await lab.ack(await lab.in_flight())
    lab.servers_away = True
    lab.clock.advance(3_600_000)
    lease = await lab.in_flight(a_job(max_attempts=1), lease_ms=1000)
    lab.clock.advance(1000)
    assert (await lab.transitions.reap(lab.queue)).buried == 1
    assert await lab.where(lease.id) == "dead"


async def test_a_cancelled_job_is_gone_at_once(lab: Lab) -> None:
    lease = await lab.in_flight()
    await lab.ops.cancel(lab.queue, [lease.id])
    await _outage(lab, LEASE_MS)
    assert await lab.where(lease.id) == "gone"


async def test_a_clock_set_back_forgets_the_outage(lab: Lab) -> None:
    lease = await lab.in_flight(a_job(max_attempts=1))
    await _outage(lab, LEASE_MS)
    lab.clock.advance(-3_600_000)
    await lab.transitions.reap(lab.queue)
    assert await lab.score("inflight", lease.id) == lab.clock.now_ms + LEASE_MS
    lab.clock.advance(LEASE_MS)
    await lab.transitions.reap(lab.queue)
    assert await lab.where(lease.id) == "dead"


async def test_a_spared_job_keeps_its_place(lab: Lab) -> None:
    lease = await lab.in_flight()
    lab.clock.advance(1)
    (later,) = await lab.enqueued(a_job())
    await _outage(lab, LEASE_MS)
    await _after_the_grace(lab)
    assert await lab.ids("ready") == [lease.id, later]
    page = await lab.ops.list_jobs(lab.queue, State.READY, cursor=None, limit=10)
    assert [failure.kind for failure in page.jobs[0].failures] == [FailureKind.OUTAGE]
