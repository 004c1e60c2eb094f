"""forget_idle: what is left of a queue that is empty and that no operator cares for is nothing."""

import pytest

from relay_server.engine import keys
from tests.support.engine import Lab, a_job


@pytest.mark.covers("forget_idle", "FORGOTTEN", "NOT_EMPTY", "KEPT")
async def test_i13_an_empty_queue_is_forgotten_unless_an_operator_cares_for_it(lab: Lab) -> None:
    lease = await lab.in_flight()
    now = lab.clock.now_ms
    before = await lab.dump()
    assert await lab.ops.forget_idle(lab.queue, until_ms=now) is False
    assert await lab.dump() == before
    await lab.ack(lease)
    await lab.ops.pause(lab.queue)
    assert await lab.ops.forget_idle(lab.queue, until_ms=now) is False
    await lab.ops.resume(lab.queue)
    await lab.script("begin", "1", "max_jobs", 5)
    await lab.ops.record_history(lab.queue, 1)
    assert await lab.ops.forget_idle(lab.queue, until_ms=now) is True
    assert await lab.dump() == {}
    assert not await lab.engine.names.knows(lab.queue)

    await lab.ops.configure(lab.queue, {"max_jobs": 9})
    lab.clock.advance(10)
    assert await lab.ops.forget_idle(lab.queue, until_ms=now + 5) is False
    assert (await lab.ops.stats(lab.queue)).settings.max_jobs == 9


async def test_one_used_since_stays_known(lab: Lab) -> None:
    """A server that uses the queue enters it first: it is listed, whoever comes first."""
    await lab.in_flight()
    await lab.command("DEL", lab.key("inflight"), lab.key("body"), lab.key("state"))
    assert await lab.ops.forget_idle(lab.queue, until_ms=lab.clock.now_ms - 1) is False
    assert await lab.engine.names.knows(lab.queue)
    await lab.enqueued(a_job())
    assert await lab.command("ZCARD", keys.QUEUES) == 1
