"""begin: the first settings of a new queue, and of no other."""

import pytest

from tests.support.engine import Lab, a_job


@pytest.mark.covers("begin", "BEGUN", "PRESENT")
async def test_only_a_queue_without_settings_and_past_is_given_any(lab: Lab) -> None:
    assert await lab.script("begin", "0", "max_jobs", 2, "rate", 5.5) == [b"BEGUN"]
    settings = (await lab.ops.stats(lab.queue)).settings
    assert (settings.max_jobs, settings.rate) == (2, 5.5)
    assert await lab.script("begin", "0", "max_jobs", 9, "burst", 9) == [b"PRESENT"]
    await lab.command("DEL", lab.key("conf"))
    await lab.enqueued(a_job())
    assert await lab.script("begin", "0", "max_jobs", 9) == [b"PRESENT"], "it has a past"
    assert await lab.script("begin", "1", "max_jobs", 9) == [b"BEGUN"], "it was forgotten a moment ago"
    assert (await lab.ops.stats(lab.queue)).settings.max_jobs == 9
