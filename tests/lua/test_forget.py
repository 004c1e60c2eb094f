"""forget: an empty queue leaves nothing but what goes by itself."""

import pytest

from tests.support.engine import Lab, a_job


@pytest.mark.covers("forget", "FORGOTTEN", "NOT_EMPTY")
async def test_i13_only_an_empty_queue_is_forgotten(lab: Lab) -> None:
    lease = await lab.in_flight(a_job(key="k"))
    await lab.ops.configure(lab.queue, {"max_jobs": 9})
    await lab.ops.record_history([lab.queue], 1)
    before = await lab.dump()
    assert await lab.ops.forget(lab.queue) is False
    assert await lab.dump() == before
    assert await lab.names.knows(lab.queue)
    await lab.ack(lease)
    assert await lab.ops.forget(lab.queue) is True
    assert set(await lab.dump()) == {"key:k"}
    assert not await lab.names.knows(lab.queue)
    await lab.enqueued(a_job())
    assert await lab.names.all() == [lab.queue]
