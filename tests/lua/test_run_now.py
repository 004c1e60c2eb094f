"""run_now: delayed -> ready, before its time."""

import pytest

from tests.support.engine import START_MS, Lab, a_job, new_id


@pytest.mark.covers("run_now", "OK", "WRONG_STATE", "GONE")
async def test_only_a_delayed_job_is_made_ready(lab: Lab) -> None:
    (job_id,) = await lab.enqueued(a_job(delay_ms=100_000, priority=1))
    lab.clock.advance(5)
    async with lab.listening() as wakes:
        assert await lab.ops.run_now(lab.queue, job_id) == "OK"
        assert await wakes.so_far() == [b"ready"]
    assert await lab.score("ready", job_id) == START_MS + 5 - 3_600_000
    before = await lab.dump()
    assert await lab.ops.run_now(lab.queue, job_id) == "WRONG_STATE"
    assert await lab.ops.run_now(lab.queue, new_id()) == "GONE"
    assert await lab.dump() == before
    assert (await lab.claim()).ids == [job_id]
