"""where: the states of jobs, without reading them."""

from relay_server.model import State
from tests.support.engine import Lab, a_job, new_id


async def test_each_state_and_what_is_gone(lab: Lab) -> None:
    dead = await lab.dead()
    held = (await lab.in_flight()).id
    (ready, delayed) = await lab.enqueued(a_job(), a_job(delay_ms=1000))
    ids = [new_id(), ready, delayed, held, dead, ready]
    states = [None, State.READY, State.DELAYED, State.INFLIGHT, State.DEAD, State.READY]
    assert await lab.ops.states(lab.queue, ids) == states


async def test_an_empty_queue(lab: Lab) -> None:
    assert await lab.ops.states(lab.queue, [new_id()]) == [None]
