"""What unused queues cost: loops and snapshots look at what is used, and rarely at the rest."""

from collections.abc import Sequence

import pytest

from relay_server.engine.names import RECENT_MS
from relay_server.engine.snapshots import Snapshots
from relay_server.loops import sweeps
from relay_server.loops.renewer import Renewer
from relay_server.loops.sweep import CAP_S, Sweep
from tests.support.engine import Lab, a_job
from tests.support.seams import look_at_no_unused, rotation_of


async def test_i11_a_delayed_job_of_an_unused_queue_is_due_in_time_after_all_servers_restarted(
    lab: Lab,
) -> None:
    """A thousand queues, unused for days; nobody knows when their jobs are due until each was looked at once."""
    queues = [f"unused-{i}" for i in range(1000)]
    for queue in queues:
        await lab.names.enter(queue)
    for at, queue in enumerate(queues[::100]):
        await lab.transitions.enqueue(queue, [a_job(delay_ms=1000 * 86_400_000 + at * 1000)])
    lab.clock.advance(999 * 86_400_000)

    now = 0.0
    restarted = lab.another_engine("server-2")
    sweep = Sweep(
        "promoter",
        restarted.transitions.promote,
        restarted.transitions.promote_many,
        restarted.names,
        clock=lambda: now,
    )
    looked_at = 0
    while not sweep.rotation.rounds:
        result = await sweep.run_once()
        looked_at += result.queues
        if not sweep.rotation.rounds:
            now += result.wait_s
    assert looked_at >= 1000
    assert now <= 5, "500 a second"
    lab.clock.advance(86_400_000)
    due = await sweep.run_once()
    assert due.taken == 1, "known since the first look, whoever's turn it is"
    assert due.wait_s == 1.0
    lab.clock.advance(9000)
    assert (await sweep.run_once()).taken == 9


async def test_the_loops_look_at_used_queues_and_at_a_bounded_number_of_others(lab: Lab) -> None:
    unused = [f"unused-{i}" for i in range(3000)]
    for i in range(0, 3000, 500):
        await lab.names.enter_all(unused[i : i + 500])
    lab.clock.advance(RECENT_MS + 1)
    await lab.enqueued(a_job(), a_job(delay_ms=60_000))
    now = 0.0
    sweep = Sweep(
        "promoter", lab.transitions.promote, lab.transitions.promote_many, lab.names, clock=lambda: now
    )
    while not sweep.rotation.rounds:
        now += (await sweep.run_once()).wait_s
    looked_at = 0
    for _ in range(12):
        now += CAP_S
        lab.clock.advance(int(CAP_S * 1000))
        looked_at += (await sweep.run_once()).queues
    assert looked_at <= 12 * (CAP_S * 50 + 100), "50 a second, and what the store gives at once"
    assert sweep.remembered < 1000, "what holds nothing is not remembered"
    lab.clock.advance(1000)
    assert (await sweep.run_once()).taken == 0
    assert await lab.ids("delayed") == [], "the job that was due in between was made ready"


async def test_a_promoted_queue_is_in_use_again(lab: Lab) -> None:
    await lab.enqueued(a_job(delay_ms=RECENT_MS * 2))
    lab.clock.advance(RECENT_MS * 2)
    server = lab.another_engine("server-2")
    assert (await server.names.recent()).names == []
    assert (await sweeps.promoter(server.transitions, server.names).run_once()).taken == 1
    await Renewer(server.names, server.operations).run_once()
    assert (await lab.names.recent()).names == [lab.queue]


@pytest.mark.parametrize("how", ["abandon", "hand_back", "set_aside"])
async def test_a_queue_whose_leases_a_server_ends_is_in_use_again(lab: Lab, how: str) -> None:
    """A worker that runs one job for hours and vanishes: what becomes of its job shows at once."""
    lease = await lab.in_flight()
    looks = lab.another_engine("server-3")
    snapshots = Snapshots(looks.names, looks.operations)
    lab.clock.advance(RECENT_MS + 1)
    await snapshots.refresh()
    server = lab.another_engine("server-2")
    if how == "abandon":
        await server.transitions.abandon(lab.queue, [lease], since_ms=lab.clock.now_ms)
    else:
        await getattr(server.transitions, how)(lab.queue, [lease])
    await Renewer(server.names, server.operations).run_once()
    (shown,) = await snapshots.read([lab.queue])
    assert shown.inflight == 0


async def test_snapshots_read_used_queues_and_reckon_the_rest(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    unused = [f"unused-{i}" for i in range(700)]
    await lab.names.enter_all(unused)
    await lab.transitions.enqueue(unused[7], [a_job()])
    snapshots = Snapshots(lab.names, lab.ops)
    for _ in range(3):
        await snapshots.refresh()
    assert len(snapshots.all()) == 700
    first = snapshots.version
    lab.clock.advance(RECENT_MS + 1000)
    await lab.enqueued(a_job())
    read: list[str] = []
    stats = lab.ops.stats_many

    async def noted(queues: Sequence[str]) -> object:
        read.extend(queues)
        return await stats(queues)

    monkeypatch.setattr(lab.ops, "stats_many", noted)
    look_at_no_unused(rotation_of(snapshots))
    await snapshots.refresh()
    assert read == [lab.queue]
    changes = snapshots.since(first)
    assert (changes.whole, [one.queue for one in changes.queues]) == (False, [lab.queue])
    waiting = snapshots.get(unused[7])
    assert waiting is not None
    assert waiting.oldest_ready_ms == RECENT_MS + 1000, "it goes on waiting"

    await lab.names.leave(unused[0])
    await snapshots.refresh()
    assert snapshots.since(snapshots.version - 1).gone == [unused[0]]
    assert len(snapshots.since(0).queues) == 700
    assert snapshots.since(0).whole


async def test_a_queue_with_leases_is_looked_at_though_nobody_uses_it(lab: Lab) -> None:
    """Ten seconds without a look would be taken for an outage."""
    now = 0.0
    sweep = Sweep(
        "reaper", lab.transitions.reap, lab.transitions.reap_many, lab.names, watches=True, clock=lambda: now
    )
    await lab.in_flight(lease_ms=3_600_000)
    assert (await sweep.run_once()).queues == 1
    look_at_no_unused(sweep.rotation)
    lab.clock.advance(RECENT_MS + 1)
    for _ in range(3):
        now += CAP_S
        assert (await sweep.run_once()).queues == 1
