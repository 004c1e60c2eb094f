"""requeue: dead -> ready, as new but for its epoch."""

from relay_server.words import NackWord
from tests.support.engine import LEASE_MS, START_MS, Lab, a_job, new_id


async def test_a_requeued_job_starts_over(lab: Lab) -> None:
    job_id = await lab.dead(a_job(max_attempts=1, priority=1, expires_ms=START_MS + 500))
    epoch = (await lab.record(job_id)).epoch
    lab.clock.advance(1000)
    async with lab.listening() as wakes:
        assert await lab.ops.requeue(lab.queue, [job_id, job_id, new_id()], died_until_ms=START_MS) == 1
        assert await wakes.so_far() == [b"ready"]
    record = await lab.record(job_id)
    assert (record.attempt, record.expirations, record.reason, record.error_type) == (0, 0, 0, "")
    assert (record.expires_ms, record.epoch) == (0, epoch)
    assert await lab.score("ready", job_id) == START_MS + 1000 - 3_600_000
    (job,) = (await lab.claim()).jobs
    assert (job.attempt, job.epoch > epoch) == (1, True)
    assert (await lab.counters())["requeued"] == 1


async def test_i9_a_job_that_died_again_since_is_left(lab: Lab) -> None:
    job_id = await lab.dead()
    cutoff = lab.clock.now_ms
    assert await lab.ops.requeue(lab.queue, [job_id], died_until_ms=cutoff) == 1
    lab.clock.advance(1)
    await lab.nack((await lab.claim()).lease, NackWord.DEAD)
    assert await lab.ops.requeue(lab.queue, [job_id], died_until_ms=cutoff) == 0
    assert await lab.where(job_id) == "dead"


async def test_an_expiry_still_to_come_is_kept_and_other_states_are_left(lab: Lab) -> None:
    job_id = await lab.dead(a_job(expires_ms=START_MS + LEASE_MS))
    held = await lab.in_flight()
    ready, delayed = await lab.enqueued(a_job(), a_job(delay_ms=5))
    before = await lab.dump()
    assert await lab.ops.requeue(lab.queue, [held.id, ready, delayed], died_until_ms=1 << 52) == 0
    assert await lab.dump() == before
    assert await lab.ops.requeue(lab.queue, [job_id], died_until_ms=1 << 52) == 1
    assert (await lab.record(job_id)).expires_ms == START_MS + LEASE_MS


async def test_more_than_a_batch_goes_in_steps(lab: Lab) -> None:
    ids = [
        job_id for _ in range(3) for job_id in await lab.enqueued(*(a_job(expires_ms=1) for _ in range(400)))
    ]
    while (await lab.claim()).answer.more:
        pass
    assert await lab.ops.requeue(lab.queue, ids, died_until_ms=1 << 52) == 1200
    assert len(lab.heard["requeue"]) == 3
