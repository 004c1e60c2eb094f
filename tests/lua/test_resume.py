"""resume: claims go on, and a sleeping dispatcher is woken."""

import pytest

from tests.support.engine import Lab, a_job


@pytest.mark.covers("resume", "OK")
async def test_resume_wakes_a_sleeper(lab: Lab) -> None:
    await lab.enqueued(a_job())
    await lab.ops.pause(lab.queue)
    async with lab.listening() as wakes:
        await lab.ops.resume(lab.queue)
        assert await wakes.so_far() == [b"ready"]
    assert not (await lab.ops.stats(lab.queue)).paused
    assert len((await lab.claim()).jobs) == 1
