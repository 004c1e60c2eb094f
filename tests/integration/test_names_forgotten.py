"""Queues that nobody uses are forgotten, and those that are used again are known again."""

import asyncio

import pytest

from relay_server import errors
from relay_server.engine import keys
from relay_server.engine.names import RENEW_S, TRUST_S, NameLimits
from relay_server.engine.snapshots import Snapshots
from relay_server.loops import sweeps
from relay_server.loops.forgetter import PAGE, Forgetter
from relay_server.loops.renewer import Renewer
from tests.support.engine import Lab, a_job, new_queue
from tests.support.seams import set_names_clock


async def test_i13_a_queue_that_nobody_uses_is_forgotten_and_its_place_is_free(lab: Lab) -> None:
    engine = lab.another_engine("s", name_limits=NameLimits(owned_max=2))
    ops = engine.operations
    forgetter = Forgetter(engine.names, ops, idle_s=600)
    empty, full, cared, new = (new_queue() for _ in range(4))
    await engine.names.enter_all([empty, full], owner="ann")
    await engine.transitions.enqueue(full, [a_job(delay_ms=10**9)])
    await ops.configure(cared, {"max_jobs": 5})
    lab.clock.advance(600_000)
    await engine.names.enter_all([new])
    result = await forgetter.run_once()
    assert (result.looked_at, result.forgotten) == (3, 1)
    assert set(await engine.names.all()) == {full, cared, new}
    await engine.names.enter_all([new_queue()], owner="ann")
    with pytest.raises(errors.QuotaExceeded):
        await engine.names.enter_all([new_queue()], owner="ann")


async def test_kept_queues_do_not_hide_the_queues_behind_them(lab: Lab) -> None:
    kept = [f"kept-{i}" for i in range(PAGE)]
    await lab.names.enter_all(kept)
    for queue in kept:
        await lab.command("HSET", keys.queue_keys(queue)["conf"], "paused", "1")
    lab.clock.advance(1)
    await lab.names.enter_all([lab.queue])
    lab.clock.advance(600_000)
    forgetter = Forgetter(lab.names, lab.ops, idle_s=600)
    assert [(await forgetter.run_once()).forgotten for _ in range(2)] == [0, 1]
    assert (await forgetter.run_once()).looked_at == PAGE, "and again from the start"


async def test_forgetting_and_enqueuing_at_once_lose_no_job_and_hide_no_queue(lab: Lab) -> None:
    """Whoever enqueues enters the queue first, so that its last use is seen."""
    for _ in range(30):
        queue = new_queue()
        await lab.names.enter_all([queue])
        lab.clock.advance(700_000)
        fresh = lab.another_engine("server-2")
        (answer,), _ = await asyncio.gather(
            fresh.transitions.enqueue(queue, [a_job()]),
            lab.ops.forget_idle(queue, until_ms=lab.clock.now_ms - 600_000),
        )
        assert (await lab.ops.stats(queue)).ready == 1
        assert await lab.names.knows(queue)
        assert await lab.ops.get_job(queue, answer.job_id) is not None


async def test_a_queue_that_was_forgotten_while_it_was_used_is_known_again(lab: Lab) -> None:
    """An operator forgets it by another server in the moment in which a job comes."""
    now = 0.0
    set_names_clock(lab.names, lambda: now)
    await lab.enqueued(a_job())
    await lab.another_engine("server-2").names.leave(lab.queue)
    now = TRUST_S - 1
    await lab.enqueued(a_job())
    assert not await lab.names.knows(lab.queue)
    assert await lab.renew_names() == 1
    assert await lab.names.knows(lab.queue)


async def test_a_single_job_in_a_queue_that_was_just_forgotten_makes_it_known_again(lab: Lab) -> None:
    """A delayed one would never become ready, for no loop looks at a queue that is not known."""
    now = 0.0
    set_names_clock(lab.names, lambda: now)
    await lab.names.enter_all([lab.queue])
    await lab.another_engine("server-2").names.leave(lab.queue)
    now = 1.0
    await lab.transitions.enqueue(lab.queue, [a_job(delay_ms=1000)])
    assert await lab.renew_names() == 0, "what was noted a moment ago costs nothing"
    now = RENEW_S
    assert await lab.renew_names() == 1
    assert await lab.names.knows(lab.queue)


async def test_a_queue_with_jobs_is_known_again_in_a_store_that_is_full_of_names(lab: Lab) -> None:
    now = 0.0
    engine = lab.another_engine("s", name_limits=NameLimits(queues_max=1))
    set_names_clock(engine.names, lambda: now)
    await engine.transitions.enqueue(lab.queue, [a_job()])
    await lab.names.leave(lab.queue)
    await lab.names.enter_all([new_queue()])
    now = RENEW_S
    await engine.transitions.enqueue(lab.queue, [a_job()])
    assert await Renewer(engine.names, engine.operations).run_once() == 1
    assert await engine.names.knows(lab.queue)


async def test_acks_of_strangers_make_no_queue_known(lab: Lab) -> None:
    await lab.ack(await lab.in_flight())
    for queue in (new_queue() for _ in range(10)):
        lab.names.touch(queue)
    assert await lab.renew_names() == 0
    assert await lab.names.all() == [lab.queue]


@pytest.mark.damages
async def test_a_name_that_is_no_text_hides_no_other_and_stops_no_loop(lab: Lab) -> None:
    await lab.enqueued(a_job(delay_ms=10))
    await lab.command("ZADD", keys.QUEUES, lab.clock.now_ms, b"\xff\xfe")
    lab.clock.advance(20)
    assert await lab.names.all() == [lab.queue]
    assert (await sweeps.promoter(lab.transitions, lab.names).run_once()).taken == 1
    assert (await Forgetter(lab.names, lab.ops, idle_s=0).run_once()).forgotten == 0
    snapshots = Snapshots(lab.names, lab.ops)
    await snapshots.refresh()
    assert [one.queue for one in snapshots.all()] == [lab.queue]
