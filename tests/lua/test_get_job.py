"""get_job: one whole job."""

import pytest

from relay_server import errors
from relay_server.words import State
from tests.support.engine import START_MS, Lab, a_job, new_id


@pytest.mark.covers("get_job", "OK", "GONE")
async def test_a_job_is_found_in_every_state(lab: Lab) -> None:
    dead = await lab.dead(a_job(b"body of the dead"))
    held = await lab.in_flight()
    ready, delayed = await lab.enqueued(a_job(), a_job(delay_ms=7))
    found = {}
    for job_id in (dead, held.id, ready, delayed):
        stored = await lab.ops.get_job(lab.queue, job_id)
        assert stored is not None
        assert stored.id == job_id
        found[stored.state] = stored
    assert set(found) == set(State)
    assert found[State.DEAD].body == b"body of the dead"
    assert [failure.attempt for failure in found[State.DEAD].failures] == [1]
    assert found[State.DELAYED].at_ms == START_MS + 7
    assert await lab.ops.get_job(lab.queue, new_id()) is None


@pytest.mark.damages
@pytest.mark.covers("get_job", "UNREADABLE")
async def test_a_record_that_cannot_be_read_is_told_from_a_job_that_is_gone(lab: Lab) -> None:
    (job_id,) = await lab.enqueued(a_job())
    await lab.command("HSET", lab.key("state"), job_id, "x")
    with pytest.raises(
        errors.WrongState, match=r"ready: a record of 1 bytes that cannot be read.*relay doctor"
    ):
        await lab.ops.get_job(lab.queue, job_id)
    await lab.claim()
    with pytest.raises(errors.WrongState, match=r"ready at \d+: a record of 1 bytes"):
        await lab.ops.get_job(lab.queue, job_id)


@pytest.mark.damages
async def test_a_record_in_no_index_is_no_job(lab: Lab) -> None:
    (job_id,) = await lab.enqueued(a_job())
    await lab.command("ZREM", lab.key("ready"), job_id)
    assert await lab.ops.get_job(lab.queue, job_id) is None
