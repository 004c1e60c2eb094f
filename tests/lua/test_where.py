"""where: the states of jobs, without reading them."""

import pytest

from relay_server.words import SET_ASIDE, State
from tests.support.engine import Lab, a_job, new_id


async def test_each_state_and_what_is_gone(lab: Lab) -> None:
    dead = await lab.dead()
    held = (await lab.in_flight()).id
    (ready, delayed) = await lab.enqueued(a_job(), a_job(delay_ms=1000))
    ids = [new_id(), ready, delayed, held, dead, ready]
    states = [0, State.READY, State.DELAYED, State.INFLIGHT, State.DEAD, State.READY]
    assert await lab.ops.states(lab.queue, ids) == states


async def test_an_empty_queue(lab: Lab) -> None:
    assert await lab.ops.states(lab.queue, [new_id()]) == [0]


@pytest.mark.damages
async def test_a_job_that_was_set_aside_is_in_no_state(lab: Lab) -> None:
    lease = await lab.in_flight()
    await lab.transitions.set_aside(lab.queue, [lease])
    assert await lab.ops.states(lab.queue, [lease.id]) == [SET_ASIDE]
