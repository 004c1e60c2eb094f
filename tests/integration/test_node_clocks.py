"""Nodes of a cluster whose clocks are minutes apart: a time is compared with the clock of the node that it is of."""

import pytest

from relay.v1 import admin_service_pb2 as pb
from relay_server.engine.roster import KEPT_MS, WorkerEntry
from relay_server.engine.snapshots import Snapshots
from relay_server.loops.sampler import Sampler
from relay_server.loops.sweep import Sweep
from relay_server.rpc.convert import duration
from tests.support.engine import Lab, a_job, new_queue
from tests.support.operator_desk import Desk

MINUTES = 60_000
APART = [pytest.param(20 * MINUTES, id="ahead"), pytest.param(-20 * MINUTES, id="behind")]


def set_apart(lab: Lab, tag: str, ms: int) -> None:
    """The clock of the node that has the keys with this hash tag differs by so much from all others."""
    lab.engine.scripts.clock = lambda key: str(
        lab.clock.now_ms + (ms if b"{%s}" % tag.encode() in key else 0)
    )


@pytest.mark.parametrize("ms", APART)
async def test_a_worker_is_listed_for_a_minute_of_the_node_that_has_the_roster(lab: Lab, ms: int) -> None:
    set_apart(lab, "@workers", ms)
    roster = lab.engine.roster
    entry = WorkerEntry("s", "w", (("q", 1),), 1, 0, "1", 0, "server-1", connected=True)
    await roster.note("server-1", {"s": entry})
    for passed_ms, listed in ((KEPT_MS, ["s"]), (1, [])):
        lab.clock.advance(passed_ms)
        await roster.note("server-2", {})  # which removes sessions that nobody renewed for longer
        found = (await roster.page(b"", 10)).entries
        assert [one.session_id for one in found] == listed
        assert {one.seen_ms for one in found} <= {lab.clock.now_ms + ms - KEPT_MS}


@pytest.mark.parametrize("ms", APART)
async def test_i11_a_delayed_job_is_due_by_the_clock_of_its_own_node(lab: Lab, ms: int) -> None:
    set_apart(lab, lab.queue, ms)
    sweep = Sweep(
        "promoter", lab.transitions.promote, lab.transitions.promote_many, lab.names, clock=lambda: 0.0
    )
    await lab.enqueued(a_job(delay_ms=60_000))
    assert [(await sweep.run_once()).queues for _ in range(3)] == [1, 0, 0], "it is not due yet"
    lab.clock.advance(60_000)
    assert (await sweep.run_once()).taken == 1


@pytest.mark.parametrize("ms", APART)
async def test_ages_and_reads_of_queues_keep_to_their_own_clock(lab: Lab, ms: int) -> None:
    far = new_queue()
    set_apart(lab, far, ms)
    await lab.enqueued(a_job())
    await lab.transitions.enqueue(far, [a_job()])
    snapshots = Snapshots(lab.names, lab.ops)
    await snapshots.refresh()
    assert [one.oldest_ready_ms for one in snapshots.all()] == [0, 0]
    lab.names._to_note.clear()  # as if another server had used them
    await lab.enqueued(a_job())
    lab.names._to_note.clear()
    assert [one.ready for one in await snapshots.read([lab.queue])] == [2]


@pytest.mark.parametrize("ms", APART)
async def test_the_history_shows_the_minutes_that_the_sampler_wrote(desk: Desk, lab: Lab, ms: int) -> None:
    set_apart(lab, lab.queue, ms)
    await lab.enqueued(a_job())
    sampler = Sampler(lab.ops, desk.metrics, Snapshots(lab.names, lab.ops))
    await sampler.run_once()
    minute = lab.clock.now_ms // MINUTES
    lab.clock.advance(MINUTES)
    assert (await sampler.run_once()).recorded == 1
    lab.clock.advance(2 * MINUTES)
    request = pb.GetHistoryRequest(queue=lab.queue, span=duration(5 * MINUTES))
    buckets = (await desk.admin.GetHistory(request)).buckets
    shown = [(one.time.ToMilliseconds() // MINUTES - minute, one.enqueued) for one in buckets]
    assert shown == [(0, 1), (1, 0)]


@pytest.mark.parametrize("ms", APART)
async def test_stats_tell_the_time_of_the_node_that_they_are_of(desk: Desk, lab: Lab, ms: int) -> None:
    set_apart(lab, lab.queue, ms)
    await lab.enqueued(a_job())
    await desk.feed.snapshots.refresh()
    one = await desk.admin.Stats(pb.StatsRequest(queue=lab.queue))
    assert one.time.ToMilliseconds() == lab.clock.now_ms + ms
    several = await desk.admin.Stats(pb.StatsRequest())
    assert several.time.ToMilliseconds() == lab.clock.now_ms, "of the node that has the names"
