"""reap: leases that ran out end here, and nothing waits for a clock that was set back."""

import os

import pytest

from relay_server.model import ClaimGroup, Lease
from relay_server.words import DeadReason, FailureKind, LeaseWord
from tests.support.engine import DAY_MS, LEASE_MS, START_MS, Lab, a_job, new_token


async def test_an_expired_lease_is_an_attempt_and_an_expiration(lab: Lab) -> None:
    lease = await lab.in_flight(a_job(initial_backoff_ms=4000))
    lab.clock.advance(LEASE_MS - 1)
    swept = await lab.transitions.reap(lab.queue)
    assert (swept.taken, swept.next_at_ms) == (0, START_MS + LEASE_MS)
    lab.clock.advance(1)
    swept = await lab.transitions.reap(lab.queue)
    assert (swept.taken, swept.buried, swept.more, swept.next_at_ms) == (1, 0, False, 0)
    record = await lab.record(lease.id)
    assert (record.attempt, record.expirations, record.error_type) == (1, 1, "LeaseExpired")
    assert record.token == b""
    due = await lab.score("delayed", lease.id)
    assert due is None or lab.clock.now_ms < due <= lab.clock.now_ms + 4000
    stored = await lab.ops.get_job(lab.queue, lease.id)
    assert stored is not None
    assert [failure.kind for failure in stored.failures] == [FailureKind.LEASE_EXPIRED]
    assert (await lab.counters())["expired"] == 1
    assert await lab.ack(lease) == [LeaseWord.LEASE_LOST]


async def _expire(lab: Lab) -> None:
    lab.clock.advance(LEASE_MS)
    await lab.transitions.reap(lab.queue)
    lab.clock.advance(DAY_MS)


@pytest.mark.parametrize(("setting", "times"), [(None, 3), (1, 1), (5, 5)])
async def test_i7_a_job_that_kills_its_worker_is_buried_as_poison(
    lab: Lab, setting: int | None, times: int
) -> None:
    if setting is not None:
        await lab.ops.configure(lab.queue, {"max_expirations": setting})
    (job_id,) = await lab.enqueued(a_job())
    for number in range(1, times + 1):
        assert (await lab.claim()).ids == [job_id]
        await _expire(lab)
        assert (await lab.where(job_id) == "dead") is (number == times)
    record = await lab.record(job_id)
    assert (record.reason, record.expirations, record.attempt) == (DeadReason.POISON, times, times)


async def test_i7_the_last_attempt_may_end_by_expiry(lab: Lab) -> None:
    lease = await lab.in_flight(a_job(max_attempts=1))
    lab.clock.advance(LEASE_MS)
    assert (await lab.transitions.reap(lab.queue)).buried == 1
    assert (await lab.record(lease.id)).reason == DeadReason.ATTEMPTS


async def test_i5_a_cancelled_job_is_gone_when_its_lease_ends(lab: Lab) -> None:
    lease = await lab.in_flight()
    await lab.ops.cancel(lab.queue, [lease.id])
    lab.clock.advance(LEASE_MS)
    assert (await lab.transitions.reap(lab.queue)).taken == 1
    assert await lab.where(lease.id) == "gone"


async def test_i9_a_step_is_bounded_and_says_that_there_is_more(lab: Lab) -> None:
    await lab.enqueued(*(a_job() for _ in range(25)))
    await lab.claim(25)
    lab.clock.advance(LEASE_MS)
    steps = [await lab.transitions.reap(lab.queue, limit=10) for _ in range(3)]
    assert [(swept.taken, swept.more) for swept in steps] == [(10, True), (10, True), (5, False)]


@pytest.mark.parametrize("jobs", [1, 2000])
async def test_i16_after_a_clock_a_day_back_no_lease_waits_for_the_old_one(lab: Lab, jobs: int) -> None:
    """Counted once; within a bounded number of steps each deadline is at most now plus its lease."""
    for _ in range(0, jobs, 500):
        await lab.enqueued(*(a_job() for _ in range(min(jobs, 500))))
        await lab.claim(500)
    await lab.transitions.reap(lab.queue)
    lab.clock.advance(-DAY_MS)
    steps = 1
    while (await lab.transitions.reap(lab.queue)).more:
        steps += 1
        assert steps <= 2 * jobs // 100 + 2
    assert (await lab.counters())["clock_steps"] == 1
    deadlines = {score for _, score in (await lab.dump())["inflight"]}
    assert deadlines == {lab.clock.now_ms + LEASE_MS}
    await lab.transitions.reap(lab.queue)
    assert (await lab.counters())["clock_steps"] == 1
    lab.clock.advance(LEASE_MS)
    taken = 0
    while (swept := await lab.transitions.reap(lab.queue)).taken:
        taken += swept.taken
    assert taken == jobs


async def test_a_small_step_back_is_no_event(lab: Lab) -> None:
    lease = await lab.in_flight()
    await lab.transitions.reap(lab.queue)
    lab.clock.advance(-5000)
    await lab.transitions.reap(lab.queue)
    assert "clock_steps" not in await lab.counters()
    assert await lab.score("inflight", lease.id) == START_MS + LEASE_MS


async def test_a_second_step_back_during_the_scan_starts_it_again(lab: Lab) -> None:
    for _ in range(2):
        await lab.enqueued(*(a_job() for _ in range(500)))
        await lab.claim(500)
    await lab.transitions.reap(lab.queue)
    for _ in range(2):
        lab.clock.advance(-DAY_MS)
        assert (await lab.transitions.reap(lab.queue)).more
    while (await lab.transitions.reap(lab.queue)).more:
        pass
    assert (await lab.counters())["clock_steps"] == 2
    assert {score for _, score in (await lab.dump())["inflight"]} == {lab.clock.now_ms + LEASE_MS}


async def test_a_clock_that_jumps_ahead_only_redelivers(lab: Lab) -> None:
    lease = await lab.in_flight(a_job(initial_backoff_ms=1))
    lab.clock.advance(DAY_MS)
    taken = await lab.claim()
    assert taken.ids in ([], [lease.id])
    assert await lab.ack(lease) == [LeaseWord.LEASE_LOST]
    assert await lab.where(lease.id) != "gone"


@pytest.mark.damages
async def test_an_id_without_a_record_does_not_stop_the_sweep(lab: Lab) -> None:
    lost = await lab.in_flight()
    good = await lab.in_flight()
    await lab.command("HDEL", lab.key("state"), lost.id)
    lab.clock.advance(LEASE_MS)
    assert (await lab.transitions.reap(lab.queue)).taken == 2
    assert (await lab.counters())["unreadable"] == 1
    assert await lab.where(good.id) in {"delayed", "ready"}
    assert [finding.job_id for finding in await lab.findings(lab.queue)] == [lost.id]


async def test_i13_last_claims_of_servers_that_are_gone_are_forgotten(lab: Lab) -> None:
    """As after 300 restarts of a server while the queue is in use, so that the hash itself never ends."""
    for number in range(300):
        await lab.enqueued(a_job())
        token = new_token()
        await lab.script(
            "claim", lab.clock(), 1, f"server-{number}", os.urandom(16), 1 << 20, token, LEASE_MS, 1, "w"
        )
        await lab.script("ack", lab.clock(), (await lab.ids("inflight"))[0], token)
        lab.clock.advance(10_000)
        await lab.transitions.reap(lab.queue)
    kept = await lab.command("HKEYS", lab.key("claims"))
    assert len(kept) < 30
    assert b"server-299" in kept, "its leases have not run out"


async def test_a_step_back_before_the_first_sweep_is_seen(lab: Lab) -> None:
    lease = await lab.in_flight()
    lab.clock.advance(-3_600_000)
    swept = await lab.transitions.reap(lab.queue)
    assert (await lab.counters())["clock_steps"] == 1
    assert await lab.score("inflight", lease.id) == lab.clock.now_ms + LEASE_MS
    assert swept.next_at_ms == lab.clock.now_ms + 5000, "while there are leases it looks that often"


async def test_leases_of_jobs_with_long_errors_end_in_several_steps(lab: Lab) -> None:
    jobs = 50
    await lab.enqueued(*(a_job() for _ in range(jobs)))
    for _ in range(4):
        for lease in (await lab.claim(jobs)).leases:
            await lab.nack(lease, after_ms=0, error=b"e" * 8000)
    await lab.claim(jobs)
    lab.clock.advance(LEASE_MS)
    steps = [await lab.transitions.reap(lab.queue) for _ in range(4)]
    assert [(swept.taken, swept.more) for swept in steps] == [(16, True)] * 3 + [(2, False)]


async def _last_claims(lab: Lab) -> int:
    return int(await lab.command("HLEN", lab.key("claims")))


async def test_i13_a_thousand_killed_servers_leave_few_last_claims_on_a_busy_queue(lab: Lab) -> None:
    """Each has a new id, claims once and is killed. Claims keep the hash small, also where nothing is ever reaped."""
    most = 0
    for i in range(1000):
        await lab.enqueued(a_job())
        group = ClaimGroup(new_token(), LEASE_MS, 1, "w")
        answer = await lab.another_engine(f"killed-{i}").transitions.claim(lab.queue, [group])
        await lab.ack(Lease(answer.groups[0][0].id, group.token))
        lab.clock.advance(5_000)
        most = max(most, await _last_claims(lab))
    assert most <= (LEASE_MS + 60_000) // 5_000 + 30, "those of the last minute and a lease, and some"


async def test_i13_last_claims_on_a_quiet_queue_go_by_themselves(lab: Lab) -> None:
    for i in range(20):
        await lab.enqueued(a_job())
        group = ClaimGroup(new_token(), LEASE_MS, 1, "w")
        await lab.another_engine(f"killed-{i}").transitions.claim(lab.queue, [group])
    assert await _last_claims(lab) == 20
    assert 0 < await lab.command("PTTL", lab.key("claims")) <= 3_600_000
