"""nack: inflight -> delayed | ready | dead, as its worker asks."""

import pytest

from relay_server.engine.record import unpack_failures
from relay_server.model import Lease, Nacked, NackedJob
from relay_server.words import DeadReason, FailureKind, LeaseWord, NackWord, State
from tests.support.engine import LEASE_MS, START_MS, Lab, a_job, new_id, new_token


@pytest.mark.covers("nack", "OK")
async def test_retry_waits_and_keeps_the_attempt(lab: Lab) -> None:
    lease = await lab.in_flight()
    answer = await lab.nack(lease, after_ms=2500, error_type="KeyError", error=b"blob")
    assert answer == Nacked(LeaseWord.OK, State.DELAYED, 2500)
    assert await lab.score("delayed", lease.id) == START_MS + 2500
    record = await lab.record(lease.id)
    assert (record.attempt, record.error_type, record.token) == (1, "KeyError", b"")
    (failure,) = unpack_failures(await lab.command("HGET", lab.key("error"), lease.id))
    assert (failure.at_ms, failure.attempt, failure.kind) == (START_MS, 1, FailureKind.RETRY)
    assert (failure.worker_id, failure.error) == ("w", b"blob")
    assert (await lab.counters())["retried"] == 1


async def test_retry_at_once_is_ready_behind_the_others(lab: Lab) -> None:
    first = await lab.in_flight()
    lab.clock.advance(10)
    (second,) = await lab.enqueued(a_job())
    lab.clock.advance(10)
    assert await lab.nack(first, after_ms=0) == Nacked(LeaseWord.OK, State.READY, 0)
    assert await lab.ids("ready") == [second, first.id]


@pytest.mark.parametrize("kind", [NackWord.RELEASE, NackWord.THROTTLED])
async def test_i7_release_and_throttled_give_the_attempt_back(lab: Lab, kind: NackWord) -> None:
    lease = await lab.in_flight(a_job(max_attempts=1))
    for _ in range(5):
        assert await lab.nack(lease, kind, after_ms=3000) == Nacked(LeaseWord.OK, State.DELAYED, 3000)
        assert (await lab.record(lease.id)).attempt == 0
        lab.clock.advance(3000)
        lease = (await lab.claim()).lease
    assert "error" not in await lab.dump()
    assert (await lab.counters())["released"] == 5


@pytest.mark.parametrize(("kind", "after", "waits"), [
    (NackWord.RELEASE, -1, 1000),
    (NackWord.RELEASE, 0, 1000),
    (NackWord.RELEASE, 999, 1000),
    (NackWord.RELEASE, 1001, 1001),
    (NackWord.THROTTLED, -1, 1000),
    (NackWord.THROTTLED, 0, 100),
])  # fmt: skip
async def test_a_worker_that_gives_back_cannot_spin(lab: Lab, kind: NackWord, after: int, waits: int) -> None:
    lease = await lab.in_flight()
    assert (await lab.nack(lease, kind, after_ms=after)).delay_ms == waits


async def test_i12_a_head_job_released_in_a_loop_starves_nobody(lab: Lab) -> None:
    """Each release sends the job away for a second at least, and back as a newcomer."""
    urgent = await lab.in_flight(a_job(priority=0))
    others = await lab.enqueued(*(a_job() for _ in range(3)))
    seen: list[bytes] = []
    lease = urgent
    for _ in range(3):
        await lab.nack(lease, NackWord.RELEASE)
        assert await lab.where(urgent.id) == "delayed"
        taken = await lab.claim()
        seen += taken.ids
        await lab.ack(taken.lease)
        lab.clock.advance(1000)
        await lab.transitions.promote(lab.queue)
        taken = await lab.claim(5)
        (lease,) = [held for held in taken.leases if held.id == urgent.id]
        await lab.transitions.hand_back(lab.queue, [held for held in taken.leases if held.id != urgent.id])
    assert seen == others


async def test_dead_is_dead_at_once(lab: Lab) -> None:
    lease = await lab.in_flight()
    assert await lab.nack(lease, NackWord.DEAD, error=b"why") == Nacked(LeaseWord.OK, State.DEAD, 0)
    assert await lab.score("dead", lease.id) == START_MS
    assert (await lab.record(lease.id)).reason == DeadReason.REJECTED
    assert (await lab.counters())["dead"] == 1


async def test_i7_the_last_attempt_ends_dead_not_lost(lab: Lab) -> None:
    lease = await lab.in_flight(a_job(max_attempts=2))
    assert (await lab.nack(lease, after_ms=0)).state == State.READY
    lease = (await lab.claim()).lease
    assert await lab.nack(lease, after_ms=0) == Nacked(LeaseWord.OK, State.DEAD, 0)
    record = await lab.record(lease.id)
    assert (record.reason, record.attempt) == (DeadReason.ATTEMPTS, 2)
    stored = await lab.ops.get_job(lab.queue, lease.id)
    assert stored is not None
    assert [failure.attempt for failure in stored.failures] == [1, 2]


async def test_i10_a_repeated_nack_hears_its_first_answer(lab: Lab) -> None:
    lease = await lab.in_flight()
    first = await lab.nack(lease)
    before = await lab.dump()
    assert await lab.nack(lease) == first
    assert await lab.nack(lease, NackWord.DEAD) == first
    assert await lab.dump() == before
    lab.clock.advance(first.delay_ms)
    assert (await lab.claim()).ids == [lease.id]
    assert await lab.nack(lease) == first
    assert await lab.where(lease.id) == "inflight"


@pytest.mark.covers("nack", "LEASE_LOST")
async def test_i6_a_stale_token_changes_nothing_but_the_count(lab: Lab) -> None:
    lease = await lab.in_flight()
    before = await lab.dump()
    for kind in NackWord:
        assert await lab.nack(Lease(lease.id, new_token()), kind) == Nacked(LeaseWord.LEASE_LOST, 0, 0)
    after = await lab.dump()
    assert after["count"].pop(b"stale") == b"4"
    assert after == before


@pytest.mark.covers("nack", "GONE")
async def test_a_job_that_is_gone_stays_gone(lab: Lab) -> None:
    lease = await lab.in_flight()
    await lab.ack(lease)
    for held in (lease, Lease(new_id(), new_token())):
        assert await lab.nack(held) == Nacked(LeaseWord.GONE, 0, 0)
    assert await lab.where(lease.id) == "gone"


@pytest.mark.covers("nack", "CANCELLED")
@pytest.mark.parametrize("kind", list(NackWord))
async def test_i5_a_cancelled_job_does_not_come_back_whatever_its_worker_says(
    lab: Lab, kind: NackWord
) -> None:
    lease = await lab.in_flight()
    await lab.ops.cancel(lab.queue, [lease.id])
    assert await lab.nack(lease, kind) == Nacked(LeaseWord.CANCELLED, 0, 0)
    assert await lab.where(lease.id) == "gone"
    assert (await lab.counters())["cancelled"] == 1


async def test_backoff_is_full_jitter_within_its_bounds(lab: Lab) -> None:
    """uniform(0, min(max_backoff, initial · multiplier^(attempt-1))), seen over many seeds."""
    job = a_job(initial_backoff_ms=1000, multiplier=3.0, max_backoff_ms=5000)
    lease = await lab.in_flight(job)
    for attempt, cap in ((1, 1000), (2, 3000), (3, 5000), (4, 5000)):
        before = await lab.command("HGET", lab.key("state"), lease.id)
        delays: list[int] = []
        for seed in range(300):
            await lab.command("HSET", lab.key("state"), lease.id, before)
            await lab.command("ZADD", lab.key("inflight"), lab.clock.now_ms + LEASE_MS, lease.id)
            await lab.command("ZREM", lab.key("delayed"), lease.id)
            await lab.command("ZREM", lab.key("ready"), lease.id)
            reply = await lab.script("nack", lab.clock(), seed * 7919, *lease, "RETRY", "", "E", "")
            delays.append(int(reply[2]))
        assert all(0 <= delay < cap for delay in delays), attempt
        # Uniform: each tenth of the range is met by 30 of 300 on average; below 8 or above 60 is not chance.
        tenths = [sum(1 for delay in delays if i <= delay * 10 / cap < i + 1) for i in range(10)]
        assert all(8 <= n <= 60 for n in tenths), (attempt, tenths)
        lab.clock.advance(cap)
        lease = (await lab.claim()).lease


async def test_only_the_newest_failures_are_kept(lab: Lab) -> None:
    lease = await lab.in_flight(a_job(max_attempts=1000))
    for number in range(13):
        await lab.nack(lease, after_ms=0, error=b"%d" % number)
        lease = (await lab.claim()).lease
    stored = await lab.ops.get_job(lab.queue, lease.id)
    assert stored is not None
    assert [failure.error for failure in stored.failures] == [b"%d" % n for n in range(3, 13)]
    for _ in range(5):
        await lab.nack(lease, after_ms=0, error=b"x" * 10_000)
        lease = (await lab.claim()).lease
    stored = await lab.ops.get_job(lab.queue, lease.id)
    assert stored is not None
    assert [len(failure.error) for failure in stored.failures] == [10_000] * 3


async def test_what_can_be_claimed_earlier_is_published(lab: Lab) -> None:
    first, second = (await lab.in_flight(), await lab.in_flight())
    async with lab.listening() as wakes:
        await lab.nack(first, after_ms=5000)
        assert await wakes.so_far() == [b"due %d" % (START_MS + 5000)]
        await lab.nack(second, after_ms=0)
        assert await wakes.so_far() == [b"ready"]


async def test_long_errors_go_in_several_scripts_and_each_is_answered(lab: Lab) -> None:
    """A script writes half a mebibyte of failures, those kept from before included; the caller notices nothing."""
    jobs, nacks, answers = 100, list[NackedJob](), list[Nacked]()
    await lab.enqueued(*(a_job() for _ in range(jobs)))
    for number in range(4):
        taken = await lab.claim(jobs)
        lab.heard["nack"] = []
        nacks = [
            NackedJob(lease.id, lease.token, NackWord.RETRY, 0, "E", b"%d" % number + b"e" * 8000)
            for lease in taken.leases
        ]
        answers = await lab.transitions.nack(lab.queue, nacks)
        assert [answer.word for answer in answers] == [LeaseWord.OK] * jobs
        assert max(len(reply) // 3 for reply in lab.heard["nack"]) <= 16  # 128 KiB of errors
    assert await lab.transitions.nack(lab.queue, nacks) == answers, "a repeat hears what the first call heard"


async def test_short_errors_beside_long_ones_that_are_kept_are_bounded_too(lab: Lab) -> None:
    jobs = 80
    await lab.enqueued(*(a_job() for _ in range(jobs)))
    for _ in range(4):
        for lease in (await lab.claim(jobs)).leases:
            await lab.nack(lease, after_ms=0, error=b"e" * 8000)
    taken = await lab.claim(jobs)
    lab.heard["nack"] = []
    nacks = [NackedJob(lease.id, lease.token, NackWord.RETRY, 0, "E", b"short") for lease in taken.leases]
    assert len(await lab.transitions.nack(lab.queue, nacks)) == jobs
    assert [len(reply) // 3 for reply in lab.heard["nack"]] == [16] * 5
