"""What the state machine found once, as the shortest story that shows it."""

import asyncio

import pytest

from relay_server.words import EnqueueWord
from tests.support.engine import Lab, a_job


async def test_i8_two_jobs_of_one_batch_with_one_idempotency_key_are_one_job(lab: Lab) -> None:
    first, second = a_job(b"same", key="k"), a_job(b"same", key="k")
    other = a_job(b"other", key="k")
    answers = await lab.enqueue(first, second, other)
    assert [answer.word for answer in answers] == [
        EnqueueWord.CREATED,
        EnqueueWord.DUPLICATE,
        EnqueueWord.MISMATCH,
    ]
    assert {answer.job_id for answer in answers} == {first.id}
    assert await lab.ids("ready") == [first.id]


async def test_i10_one_request_asked_twice_in_one_batch_is_applied_once(lab: Lab) -> None:
    jobs = [a_job(), a_job()]
    once, again = await asyncio.gather(
        lab.enqueue(*jobs, request_id=b"r"), lab.enqueue(a_job(), a_job(), request_id=b"r")
    )
    assert [a.word for a in once] == [a.word for a in again] == [EnqueueWord.CREATED] * 2
    assert sorted(await lab.ids("ready")) == sorted(job.id for job in jobs)


@pytest.mark.parametrize("settle", ["ack", "pause"])
async def test_a_server_that_starts_beside_a_full_redis_can_drain_it(lab: Lab, settle: str) -> None:
    (job_id,) = await lab.enqueued(a_job())
    fresh = lab.another_engine("server-2")
    await lab.command("CONFIG", "SET", "maxmemory", "1")
    try:
        lab.engine = fresh
        if settle == "ack":
            taken = await lab.claim()
            assert taken.ids == [job_id]
            await fresh.transitions.ack(lab.queue, taken.leases)
            assert await lab.where(job_id) == "gone"
        else:
            ops = fresh.operations
            await ops.pause(lab.queue)
            assert (await ops.stats(lab.queue)).paused
    finally:
        await lab.command("CONFIG", "SET", "maxmemory", "0")
