"""claim: ready -> inflight, in order, within window, bytes and rate; the queue is brought up to date first."""

import os
from itertools import pairwise

import pytest

from relay_server.engine import CLAIMED_BODIES_BYTES_MAX
from relay_server.model import ClaimGroup
from relay_server.words import DeadReason, LeaseWord
from tests.support.engine import DAY_MS, LEASE_MS, START_MS, Lab, a_job, new_token

MIB = 1 << 20
HOUR_MS = 3_600_000


@pytest.mark.covers("claim", "OK")
async def test_a_claim_leases_the_head_and_counts_the_attempt(lab: Lab) -> None:
    job = a_job(b"body", max_attempts=4)
    await lab.enqueued(job, a_job())
    lab.clock.advance(77)
    taken = await lab.claim(worker="host-1")
    (got,) = taken.jobs
    assert got == (job.id, 1, 4, START_MS + 77, 77, b"body")
    assert (taken.answer.status, taken.answer.now_ms, taken.answer.more) == ("OK", START_MS + 77, False)
    record = await lab.record(job.id)
    assert (record.token, record.worker_id, record.attempt) == (taken.token, "host-1", 1)
    assert (record.claimed_ms, record.extended_ms, record.lease_ms) == (START_MS + 77,) * 2 + (LEASE_MS,)
    assert await lab.score("inflight", job.id) == START_MS + 77 + LEASE_MS
    assert (await lab.counters())["claimed"] == 1


async def test_an_empty_queue_gives_nothing_and_writes_nothing(lab: Lab) -> None:
    taken = await lab.claim(10)
    assert (taken.jobs, taken.answer.next_at_ms, taken.answer.more) == ([], 0, False)
    assert await lab.dump() == {}


async def test_i4_a_leased_job_is_not_given_again(lab: Lab) -> None:
    ids = await lab.enqueued(*(a_job() for _ in range(5)))
    assert (await lab.claim(3)).ids == ids[:3]
    assert (await lab.claim(3)).ids == ids[3:]
    lab.clock.advance(LEASE_MS - 1)
    assert (await lab.claim(3)).ids == []


@pytest.mark.covers("claim", "PAUSED")
async def test_a_paused_queue_gives_nothing(lab: Lab) -> None:
    await lab.enqueued(a_job())
    await lab.ops.pause(lab.queue)
    before = await lab.dump()
    taken = await lab.claim()
    assert (taken.answer.status, taken.jobs) == ("PAUSED", [])
    assert await lab.dump() == before
    await lab.ops.resume(lab.queue)
    assert len((await lab.claim()).jobs) == 1


@pytest.mark.covers("claim", "LIMITED")
async def test_i14_an_empty_bucket_says_when_to_come_back(lab: Lab) -> None:
    await lab.ops.configure(lab.queue, {"rate": 2.0, "burst": 3})
    await lab.enqueued(*(a_job() for _ in range(10)))
    first = await lab.claim(10)
    assert len(first.jobs) == 3
    assert first.answer.next_at_ms == START_MS + 500
    limited = await lab.claim(10)
    assert (limited.answer.status, limited.jobs) == ("LIMITED", [])
    assert limited.answer.next_at_ms == START_MS + 500
    lab.clock.advance(499)
    assert (await lab.claim(10)).answer.status == "LIMITED"
    lab.clock.advance(1)
    assert len((await lab.claim(10)).jobs) == 1


@pytest.mark.parametrize(("rate", "burst", "step_ms"), [(10.0, 5, 37), (0.5, 1, 900), (1000.0, 50, 13)])
async def test_i14_no_window_ever_sees_more_than_burst_and_rate(
    lab: Lab, rate: float, burst: int, step_ms: int
) -> None:
    await lab.ops.configure(lab.queue, {"rate": rate, "burst": burst})
    await lab.enqueued(*(a_job() for _ in range(500)))
    claims: list[tuple[int, int]] = []
    for _ in range(60):
        claims.append((lab.clock.now_ms, len((await lab.claim(30)).jobs)))
        lab.clock.advance(step_ms)
    for i, (began, _) in enumerate(claims):
        total = 0
        for at, n in claims[i:]:
            total += n
            # Bucket levels are kept to a millionth of a token.
            assert total <= burst + rate * (at - began) / 1000 + 0.001
    spent_s = 59 * step_ms / 1000
    assert sum(n for _, n in claims) >= min(rate * spent_s, 500) * 0.7  # a full bucket of one token overflows


async def test_a_clock_set_back_does_not_close_the_bucket(lab: Lab) -> None:
    await lab.ops.configure(lab.queue, {"rate": 1.0, "burst": 1})
    await lab.enqueued(*(a_job() for _ in range(3)))
    assert len((await lab.claim(3)).jobs) == 1
    lab.clock.advance(-DAY_MS)
    assert (await lab.claim(3)).answer.next_at_ms == lab.clock.now_ms + 1000
    lab.clock.advance(1000)
    assert len((await lab.claim(3)).jobs) == 1


async def test_groups_are_filled_round_robin_and_a_token_never_crosses_sessions(lab: Lab) -> None:
    ids = await lab.enqueued(*(a_job() for _ in range(10)))
    groups = [
        ClaimGroup(new_token(), 10_000, 2, "a"),
        ClaimGroup(new_token(), 20_000, 5, "b"),
        ClaimGroup(new_token(), 30_000, 1, "c"),
    ]
    answer = await lab.transitions.claim(lab.queue, groups)
    given = [[ids.index(job.id) for job in group] for group in answer.groups]
    assert given == [[0, 3], [1, 4, 5, 6, 7], [2]]
    for group, jobs in zip(groups, answer.groups, strict=True):
        for job in jobs:
            record = await lab.record(job.id)
            assert (record.token, record.worker_id, record.lease_ms) == (
                group.token, group.worker_id, group.lease_ms,
            )  # fmt: skip
            assert await lab.score("inflight", job.id) == START_MS + group.lease_ms
    everyone = {job.id for group in answer.groups for job in group}
    assert sum(len(group) for group in answer.groups) == len(everyone) == 8
    # One session's token opens no job of another.
    foreign = (answer.groups[1][0].id, groups[0].token)
    assert await lab.script("held", lab.clock(), *foreign) == [lab.clock().encode(), b"LEASE_LOST"]


async def test_a_reply_holds_at_most_a_mebibyte_of_bodies_but_one_job_at_least(lab: Lab) -> None:
    """500 bodies of 1 MiB: each claim takes one, says that there is more, and none is lost."""
    body = os.urandom(MIB)
    ids: list[bytes] = []
    for _ in range(500):
        ids += await lab.enqueued(a_job(body))
    for expected in ids:
        taken = await lab.claim(500)
        assert taken.ids == [expected]
        assert taken.answer.more is (expected != ids[-1])
        assert await lab.ack(taken.lease) == [LeaseWord.OK]
    assert (await lab.counters())["acked"] == 500


async def test_bodies_are_summed_to_the_limit_and_not_beyond(lab: Lab) -> None:
    assert CLAIMED_BODIES_BYTES_MAX == MIB
    quarter, rest = b"x" * (MIB // 4), b"y"
    await lab.enqueued(*(a_job(quarter) for _ in range(4)))
    await lab.enqueued(a_job(rest))
    first = await lab.claim(100)
    assert [len(job.body) for job in first.jobs] == [MIB // 4] * 4
    assert first.answer.more
    second = await lab.claim(100)
    assert ([job.body for job in second.jobs], second.answer.more) == ([rest], False)


async def test_i12_priority_is_a_head_start_and_nothing_starves(lab: Lab) -> None:
    """A job waits at most (difference in priority × step) longer than the newest urgent one."""
    await lab.ops.configure(lab.queue, {"priority_step": 60_000})
    (patient,) = await lab.enqueued(a_job(priority=-1))
    overtaken = 0
    while True:
        await lab.enqueued(a_job(priority=2), a_job(priority=2))
        taken = await lab.claim()
        await lab.ack(taken.lease)
        if taken.ids == [patient]:
            break
        overtaken += 1
        lab.clock.advance(5000)
    # Just those that came within its head start of three minutes, two every 5 s; of equal scores the older id is first.
    assert overtaken == 2 * 3 * 60_000 // 5000


async def test_equal_priorities_are_first_in_first_out(lab: Lab) -> None:
    ids: list[bytes] = []
    for _ in range(5):
        ids += await lab.enqueued(*(a_job() for _ in range(3)))
        lab.clock.advance(1)
    assert (await lab.claim(100)).ids == ids


async def test_due_jobs_and_expired_leases_are_claimed_at_once(lab: Lab) -> None:
    crashed = await lab.in_flight(a_job(initial_backoff_ms=1), lease_ms=1000)
    (delayed,) = await lab.enqueued(a_job(delay_ms=900))
    lab.clock.advance(899)
    early = await lab.claim(5)
    assert (early.jobs, early.answer.next_at_ms) == ([], START_MS + 900)
    lab.clock.advance(101)
    assert set((await lab.claim(5)).ids) == {crashed.id, delayed}
    assert (await lab.counters())["expired"] == 1


async def test_next_at_is_the_earliest_of_all_that_will_be_due(lab: Lab) -> None:
    await lab.in_flight(lease_ms=5000)
    assert (await lab.claim()).answer.next_at_ms == START_MS + 5000
    await lab.enqueued(a_job(delay_ms=4000))
    assert (await lab.claim()).answer.next_at_ms == START_MS + 4000
    await lab.ops.configure(lab.queue, {"rate": 1.0, "burst": 1})
    await lab.enqueued(a_job(), a_job())
    taken = await lab.claim(2)
    assert (len(taken.jobs), taken.answer.next_at_ms) == (1, START_MS + 1000)


async def test_a_job_past_its_expiry_is_buried_not_given(lab: Lab) -> None:
    late, good = a_job(expires_ms=START_MS + 10), a_job(expires_ms=START_MS + 11)
    await lab.enqueued(late, good)
    lab.clock.advance(10)
    assert (await lab.claim(5)).ids == [good.id]
    assert await lab.where(late.id) == "dead"
    assert (await lab.record(late.id)).reason == DeadReason.EXPIRED


async def test_a_hundred_thousand_expired_jobs_at_the_head_are_buried_in_bounded_steps(lab: Lab) -> None:
    total, batch, bound = 100_000, 2000, 500
    for _ in range(total // batch):
        await lab.enqueue(*(a_job(b"", expires_ms=START_MS + 1) for _ in range(batch)))
    (good,) = await lab.enqueued(a_job())
    lab.clock.advance(1)
    await lab.command("CONFIG", "RESETSTAT")
    steps = 0
    while not (taken := await lab.claim(10)).jobs:
        steps += 1
        assert taken.answer.more, "who has open windows must come back at once"
        assert steps <= total // bound
    assert taken.ids == [good]
    assert steps == total // bound
    # The work of a step is bounded in commands as in jobs: their number does not grow with the backlog.
    assert steps < (await lab.calls()).total() <= 60 * (steps + 1)
    snapshot = await lab.ops.stats(lab.queue)
    assert (snapshot.ready, snapshot.dead) == (0, total)
    reasons = {record.reason for record in (await lab.dump())["state"].values() if record.reason}
    assert reasons == {DeadReason.EXPIRED}


async def test_i6_the_epoch_rises_with_the_clock_back_and_after_a_requeue(lab: Lab) -> None:
    lease = await lab.in_flight(a_job(max_attempts=1))
    epochs = [(await lab.record(lease.id)).epoch]
    for step in (0, -DAY_MS, 5, -10 * DAY_MS, 20 * DAY_MS):
        await lab.nack(lease)
        lab.clock.advance(step)
        assert await lab.ops.requeue(lab.queue, [lease.id], died_until_ms=1 << 52) == 1
        taken = await lab.claim()
        (job,) = taken.jobs
        assert job.attempt == 1
        epochs.append(job.epoch)
        lease = taken.lease
    assert all(later > earlier for earlier, later in pairwise(epochs)), epochs
    assert epochs[-1] == lab.clock.now_ms


@pytest.mark.damages
async def test_an_id_without_a_body_or_record_is_set_aside_and_counted(lab: Lab) -> None:
    first, second, good = await lab.enqueued(a_job(), a_job(), a_job())
    await lab.command("HDEL", lab.key("body"), first)
    await lab.command("HDEL", lab.key("state"), second)
    assert (await lab.claim(5)).ids == [good]
    assert (await lab.counters())["unreadable"] == 2
    assert (await lab.ops.stats(lab.queue)).unreadable == 2
    found = await lab.findings(lab.queue)
    assert {(finding.invariant, finding.job_id) for finding in found} == {
        ("UNREADABLE", first),
        ("UNREADABLE", second),
    }


async def test_the_claim_is_remembered_only_for_a_while(lab: Lab) -> None:
    await lab.in_flight()
    left = await lab.command("PTTL", lab.key("claims"))
    assert 0 < left <= HOUR_MS
