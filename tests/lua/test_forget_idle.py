"""forget_idle: what is left of a queue that is empty and that no operator cares for is nothing."""

import time

import pytest

from relay_server.engine import keys
from relay_server.engine.names import RENEW_S
from relay_server.loops.forgetter import Forgetter
from tests.support.engine import Lab, a_job
from tests.support.seams import set_names_clock


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
    await lab.ops.record_history([lab.queue], 1)
    assert await lab.ops.forget_idle(lab.queue, until_ms=now) is True
    assert await lab.dump() == {}
    assert not await lab.names.knows(lab.queue)

    await lab.ops.configure(lab.queue, {"max_jobs": 9})
    lab.clock.advance(10)
    assert await lab.ops.forget_idle(lab.queue, until_ms=now + 5) is False
    assert (await lab.ops.stats(lab.queue)).settings.max_jobs == 9


async def test_one_used_since_stays_known(lab: Lab) -> None:
    """A server that uses the queue enters it first: it is listed, whoever comes first."""
    await lab.in_flight()
    await lab.command("DEL", lab.key("inflight"), lab.key("body"), lab.key("state"))
    assert await lab.ops.forget_idle(lab.queue, until_ms=lab.clock.now_ms - 1) is False
    assert await lab.names.knows(lab.queue)
    await lab.enqueued(a_job())
    assert await lab.command("ZCARD", keys.QUEUES) == 1


@pytest.mark.damages
async def test_what_was_set_aside_is_kept_and_damage_stops_no_loop(lab: Lab) -> None:
    now = lab.clock.now_ms
    assert await lab.transitions.set_aside(lab.queue, [await lab.in_flight()]) == 1
    before = await lab.dump()
    assert await lab.ops.forget_idle(lab.queue, until_ms=now) is False
    assert await lab.dump() == before

    await lab.command("SET", lab.key("ready"), "x")
    forgetter = Forgetter(lab.names, lab.ops, idle_s=0)
    lab.clock.advance(10)
    assert (await forgetter.run_once()).forgotten == 0
    # One that is known no more, as after damage of the names, is found again by whoever uses it.
    set_names_clock(lab.names, lambda: time.monotonic() + RENEW_S)
    lab.names.touch(lab.queue)
    await lab.command("DEL", keys.QUEUES)
    assert await lab.renew_names() == 1
    assert await lab.names.knows(lab.queue)


@pytest.mark.damages
async def test_a_damaged_queue_is_not_new(lab: Lab) -> None:
    await lab.command("SET", lab.key("conf"), "x")
    engine = lab.another_engine("server-2", first_settings=lambda queue: {"max_jobs": 5})
    await engine.names.enter_all([lab.queue])
    assert await lab.names.knows(lab.queue)
