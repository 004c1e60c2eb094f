"""enqueue: (nothing) -> ready | delayed, once per request, per id and per idempotency key."""

import asyncio
import os

import pytest

from relay_server.engine import keys
from relay_server.limits import RETRY_HORIZON_MS
from relay_server.model import Enqueued
from relay_server.words import EnqueueWord
from tests.support.engine import DAY_MS, START_MS, Lab, a_job, new_id

CREATED, DUPLICATE, MISMATCH = EnqueueWord.CREATED, EnqueueWord.DUPLICATE, EnqueueWord.MISMATCH
FULL, REUSED = EnqueueWord.FULL, EnqueueWord.REUSED


async def test_a_job_is_ready_with_body_and_record(lab: Lab) -> None:
    job = a_job(b"the body", job_type="mail", max_attempts=7, max_runtime_ms=5, expires_ms=START_MS + 1)
    assert await lab.enqueue(job) == [Enqueued(job.id, CREATED)]
    assert await lab.ids("ready") == [job.id]
    record = await lab.record(job.id)
    assert (record.type, record.body_bytes, record.max_attempts) == ("mail", 8, 7)
    assert (record.max_runtime_ms, record.expires_ms, record.score) == (5, START_MS + 1, START_MS)
    assert (record.attempt, record.expirations, record.epoch, record.token) == (0, 0, 0, b"")
    assert (await lab.dump())["body"] == {job.id: b"the body"}
    assert (await lab.counters())["enqueued"] == 1
    assert await lab.names.all() == [lab.queue]


async def test_i11_delay_and_run_at_wait_for_their_time(lab: Lab) -> None:
    delayed, at = a_job(delay_ms=500), a_job(run_at_ms=START_MS + 700)
    past, none = a_job(run_at_ms=START_MS - DAY_MS), a_job(delay_ms=0)
    await lab.enqueued(delayed, at, past, none)
    assert [await lab.score("delayed", job.id) for job in (delayed, at)] == [START_MS + 500, START_MS + 700]
    # A time in the past is no head start.
    assert [await lab.score("ready", job.id) for job in (past, none)] == [START_MS, START_MS]


async def test_priority_is_a_head_start_in_time(lab: Lab) -> None:
    jobs = [a_job(priority=p) for p in (-9, 0, 9, 1)]
    await lab.enqueued(*jobs)
    assert await lab.ids("ready") == [jobs[2].id, jobs[3].id, jobs[1].id, jobs[0].id]
    assert await lab.score("ready", jobs[2].id) == START_MS - 9 * 3_600_000


async def test_i10_an_id_that_is_stored_is_not_stored_again(lab: Lab) -> None:
    job = a_job(b"first")
    await lab.enqueued(job)
    before = await lab.dump()
    assert await lab.enqueue(a_job(b"second", job_id=job.id)) == [Enqueued(job.id, CREATED)]
    assert await lab.dump() == before


async def test_one_id_twice_in_a_batch_is_one_job(lab: Lab) -> None:
    job = a_job(b"first")
    answers = await lab.enqueue(job, a_job(b"second", job_id=job.id))
    assert [answer.word for answer in answers] == [CREATED, CREATED]
    assert (await lab.dump())["body"] == {job.id: b"first"}
    assert (await lab.counters())["enqueued"] == 1


@pytest.mark.covers("enqueue", "DUPLICATE")
async def test_i8_a_second_job_of_a_key_is_the_first_one(lab: Lab) -> None:
    first = a_job(key="k")
    await lab.enqueued(first)
    before = await lab.dump()
    assert await lab.enqueue(a_job(key="k")) == [Enqueued(first.id, DUPLICATE)]
    after = await lab.dump()
    assert after.pop("count") == {b"enqueued": b"1", b"deduplicated": b"1"}
    before.pop("count")
    assert after == before


@pytest.mark.covers("enqueue", "MISMATCH")
async def test_i8_the_same_key_with_other_content_is_refused_and_names_the_holder(lab: Lab) -> None:
    first = a_job(b"one", key="k")
    await lab.enqueued(first)
    before = await lab.dump()
    assert await lab.enqueue(a_job(b"two", key="k")) == [Enqueued(first.id, MISMATCH)]
    assert await lab.dump() == before


async def test_i8_a_key_outlives_its_job_and_has_its_window_as_ttl(lab: Lab) -> None:
    job = a_job(key="k", window_ms=90_000)
    await lab.enqueued(job)
    left = await lab.command("PTTL", keys.idempotency_key(lab.queue, "k"))
    assert 60_000 < left <= 90_000
    await lab.ack((await lab.claim()).lease)
    assert await lab.enqueue(a_job(key="k")) == [Enqueued(job.id, DUPLICATE)]
    await lab.command("DEL", keys.idempotency_key(lab.queue, "k"))  # its time is up
    assert (await lab.enqueue(a_job(key="k")))[0].word == CREATED


async def test_i8_one_key_twice_in_one_batch_is_one_job(lab: Lab) -> None:
    first, same, other = a_job(b"x", key="k"), a_job(b"x", key="k"), a_job(b"y", key="k")
    assert await lab.enqueue(first, same, other) == [
        Enqueued(first.id, CREATED),
        Enqueued(first.id, DUPLICATE),
        Enqueued(first.id, MISMATCH),
    ]
    assert await lab.ids("ready") == [first.id]


async def test_i8_one_key_in_two_requests_of_one_flush_is_one_job(lab: Lab) -> None:
    jobs = [a_job(b"x", key="k") for _ in range(3)]
    answers = await asyncio.gather(*(lab.enqueue(job, request_id=job.id) for job in jobs))
    assert len(lab.heard["enqueue"]) == 1
    assert [answer for (answer,) in answers] == [
        Enqueued(jobs[0].id, CREATED),
        Enqueued(jobs[0].id, DUPLICATE),
        Enqueued(jobs[0].id, DUPLICATE),
    ]


@pytest.mark.covers("enqueue", "FULL")
async def test_a_full_queue_takes_what_fits(lab: Lab) -> None:
    await lab.ops.configure(lab.queue, {"max_jobs": 2})
    jobs = [a_job() for _ in range(4)]
    assert [a.word for a in await lab.enqueue(*jobs)] == [CREATED, CREATED, FULL, FULL]
    assert [a.word for a in await lab.enqueue(jobs[2])] == [FULL]
    await lab.ack((await lab.claim()).lease)
    # A refused request is not remembered as applied.
    assert [a.word for a in await lab.enqueue(jobs[2], request_id=jobs[2].id)] == [CREATED]
    assert [a.word for a in await lab.enqueue(jobs[3], request_id=jobs[3].id)] == [FULL]
    await lab.ack((await lab.claim()).lease)
    assert [a.word for a in await lab.enqueue(jobs[3], request_id=jobs[3].id)] == [CREATED]


async def test_i10_a_retried_enqueue_after_its_job_was_acked_makes_no_second_job(lab: Lab) -> None:
    job = a_job()
    await lab.enqueue(job, request_id=job.id)
    await lab.ack((await lab.claim()).lease)
    before = await lab.dump()
    assert await lab.enqueue(job, request_id=job.id) == [Enqueued(job.id, CREATED)]
    assert await lab.dump() == before
    assert await lab.where(job.id) == "gone"


async def test_i10_a_retried_batch_hears_its_first_answer(lab: Lab) -> None:
    holder = a_job(b"x", key="k")
    await lab.enqueued(holder)
    request = os.urandom(16)
    jobs = [a_job(), a_job(b"x", key="k"), a_job(b"y", key="k")]
    first = await lab.enqueue(*jobs, request_id=request)
    assert [a.word for a in first] == [CREATED, DUPLICATE, MISMATCH]
    await lab.ops.purge(lab.queue, limit=500)
    await lab.command("DEL", keys.idempotency_key(lab.queue, "k"))
    before = await lab.dump()
    assert await lab.enqueue(*jobs, request_id=request) == first
    assert await lab.dump() == before


async def test_i10_a_request_that_only_met_duplicates_is_remembered_too(lab: Lab) -> None:
    await lab.enqueued(a_job(key="k"))
    retried = a_job(key="k")
    first = await lab.enqueue(retried, request_id=retried.id)
    assert [a.word for a in first] == [DUPLICATE]
    await lab.command("DEL", keys.idempotency_key(lab.queue, "k"))  # its window ends between the two
    assert await lab.enqueue(retried, request_id=retried.id) == first
    assert await lab.where(retried.id) == "gone"


async def test_a_request_is_remembered_for_a_minute(lab: Lab) -> None:
    job = a_job()
    await lab.enqueue(job, request_id=job.id)
    left = await lab.command("PTTL", keys.seen_key(lab.queue, job.id))
    assert RETRY_HORIZON_MS - 20_000 < left <= RETRY_HORIZON_MS == 60_000


@pytest.mark.covers("enqueue", "REUSED")
async def test_a_request_id_used_for_another_batch_is_refused(lab: Lab) -> None:
    await lab.enqueue(a_job(), request_id=b"r")
    before = await lab.dump()
    answers = await lab.enqueue(a_job(), a_job(), request_id=b"r")
    assert [a.word for a in answers] == [REUSED, REUSED]
    assert await lab.dump() == before


async def test_one_request_twice_in_one_flush_is_applied_once(lab: Lab) -> None:
    job, again = a_job(key="k"), a_job(key="k", job_id=new_id())
    answers = await asyncio.gather(
        lab.enqueue(job, request_id=b"r"),
        lab.enqueue(job, request_id=b"r"),
        lab.enqueue(again, a_job(), request_id=b"r"),
    )
    assert len(lab.heard["enqueue"]) == 1
    assert answers[0] == answers[1] == [Enqueued(job.id, CREATED)]
    assert [a.word for a in answers[2]] == [REUSED, REUSED]
    assert (await lab.counters())["enqueued"] == 1


async def test_i11_work_that_becomes_claimable_earlier_is_published(lab: Lab) -> None:
    async with lab.listening() as wakes:
        await lab.enqueued(a_job(delay_ms=5000))
        assert await wakes.so_far() == [b"due %d" % (START_MS + 5000)]
        await lab.enqueued(a_job(delay_ms=6000))
        assert await wakes.so_far() == []
        # Another server makes the head earlier: who sleeps until the old head must hear of it.
        other = lab.another_engine("server-2")
        await other.transitions.enqueue(lab.queue, [a_job(delay_ms=100)])
        assert await wakes.so_far() == [b"due %d" % (START_MS + 100)]
        await lab.enqueued(a_job(), a_job(delay_ms=10))
        assert await wakes.so_far() == [b"ready"]
        await lab.enqueue(a_job(key="k"))
        await wakes.so_far()
        await lab.enqueue(a_job(key="k"))
        assert await wakes.so_far() == []
