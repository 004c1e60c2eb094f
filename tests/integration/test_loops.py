"""Reaper, promoter and sampler on real Redis, step by step: what they move, and when they want to run again."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from structlog.testing import capture_logs

from relay_server import errors, tasks
from relay_server.engine import Engine, keys
from relay_server.engine.names import NameLimits, Names
from relay_server.engine.scripts import ScriptRunner
from relay_server.engine.snapshots import Snapshots
from relay_server.loops import sweeps
from relay_server.loops.sampler import Sampler
from relay_server.loops.sweep import CAP_S, Sweep
from relay_server.model import QueueSnapshot
from relay_server.words import State
from tests.support.engine import LEASE_MS, Lab, a_job, new_queue
from tests.support.redis_server import client_as_relay, link_to
from tests.support.relay import eventually


class Samples:
    """The loops' metrics: keeps the last sample and how many jobs were moved."""

    def __init__(self) -> None:
        self.last: list[QueueSnapshot] = []
        self.moved: dict[str, dict[str, int]] = {}

    def loop_ran(self, loop: str, *, failed: bool) -> None: ...

    def loop_moved(self, loop: str, jobs: Mapping[str, int]) -> None:
        self.moved[loop] = dict(jobs)

    def sampled(self, snapshots: Sequence[QueueSnapshot]) -> None:
        self.last = list(snapshots)


def sampler_of(engine: Engine, samples: Samples) -> Sampler:
    ops = engine.operations
    return Sampler(ops, samples, Snapshots(engine.names, ops))


async def test_the_reaper_ends_leases_of_every_queue(lab: Lab) -> None:
    sweep = sweeps.reaper(lab.transitions, lab.names)
    await lab.enqueued(*(a_job(max_attempts=1) for _ in range(3)))
    await lab.claim(3, lease_ms=2000)
    idle = await sweep.run_once()
    assert (idle.taken, idle.wait_s) == (0, 2.0)

    lab.clock.advance(2001)
    done = await sweep.run_once()
    assert (done.taken, done.buried, done.queues, done.failed) == (3, 3, 1, 0)
    assert done.wait_s == CAP_S
    assert len(await lab.ids("dead")) == 3


async def test_the_sweeps_tell_how_many_jobs_they_moved(lab: Lab) -> None:
    await lab.enqueued(a_job(max_attempts=1), a_job())
    await lab.claim(2)
    await lab.enqueued(*(a_job(delay_ms=LEASE_MS) for _ in range(3)))
    lab.clock.advance(LEASE_MS + 1)
    samples = Samples()
    running = [
        asyncio.create_task(loop.run()) for loop in sweeps.make_sweeps(lab.transitions, lab.names, samples)
    ]
    try:
        await eventually(lambda: len(samples.moved) == 2, within=5)
    finally:
        await tasks.end(running)
    assert samples.moved == {"reaper": {"reaped": 2, "buried": 1}, "promoter": {"promoted": 3, "buried": 0}}


async def test_a_queue_with_leases_is_looked_at_often_enough_to_know_an_outage(lab: Lab) -> None:
    """lib/outage.lua takes 10 s without a look for an outage, and so does every worker's only attempt (adr/0013)."""
    now = 100.0
    sweep = Sweep(
        "reaper", lab.transitions.reap, lab.transitions.reap_many, lab.names, watches=True, clock=lambda: now
    )
    await lab.in_flight(lease_ms=3_600_000)
    looks = []
    for _ in range(12):
        result = await sweep.run_once()
        looks.append(len(lab.heard["reap"]))
        now += sweep.pause_s(result)
    assert (now - 100.0) / looks[-1] < 6


async def test_more_than_one_batch_is_taken_in_a_round(lab: Lab) -> None:
    for _ in range(3):
        await lab.enqueued(*(a_job() for _ in range(400)))
        await lab.claim(400)
    lab.clock.advance(LEASE_MS + 1)
    done = await sweeps.reaper(lab.transitions, lab.names).run_once()
    assert done.taken == 1200
    assert len(lab.heard["reap"]) == 5


async def test_the_promoter_sleeps_until_the_next_job_is_due(lab: Lab) -> None:
    sweep = sweeps.promoter(lab.transitions, lab.names)
    await lab.enqueued(a_job(delay_ms=1000), a_job(delay_ms=1010), a_job(delay_ms=60_000))
    assert (await sweep.run_once()).wait_s == 1.0
    lab.clock.advance(1000)
    assert [(await sweep.run_once()).taken, (await sweep.run_once()).queues] == [1, 0]
    assert (await sweep.run_once()).wait_s == 0.05, "a floor: the next is due in 10 ms"
    lab.clock.advance(10)
    done = await sweep.run_once()
    assert (done.taken, done.wait_s) == (1, CAP_S)


async def test_a_quiet_queue_is_skipped_but_never_longer_than_the_cap(lab: Lab) -> None:
    now = 0.0
    sweep = Sweep(
        "promoter", lab.transitions.promote, lab.transitions.promote_many, lab.names, clock=lambda: now
    )
    await lab.enqueued(a_job())
    assert [(await sweep.run_once()).queues for _ in range(3)] == [1, 0, 0]
    await lab.enqueued(a_job(delay_ms=1))
    lab.clock.advance(1)
    assert (await sweep.run_once()).taken == 0, "nobody told the sweep"
    now = CAP_S
    assert (await sweep.run_once()).taken == 1


async def test_a_thousand_queues_in_one_round(lab: Lab) -> None:
    queues = [f"many-{i}" for i in range(1000)]
    for queue in queues:
        await lab.names.enter(queue)
    for queue in queues[::100]:
        await lab.transitions.enqueue(queue, [a_job(delay_ms=5)])
    sweep = sweeps.promoter(lab.transitions, lab.names)
    lab.clock.advance(5)
    first = await sweep.run_once()
    assert (first.queues, first.taken) == (1000, 10)
    assert (await sweep.run_once()).queues == 0


@pytest.mark.damages
async def test_one_bad_queue_does_not_stop_the_others(lab: Lab) -> None:
    await lab.enqueued(a_job(delay_ms=5))
    await lab.names.enter("bad")
    await lab.command("SET", "relay:{bad}:delayed", "x")
    lab.clock.advance(5)
    now = 0.0
    sweep = Sweep(
        "promoter", lab.transitions.promote, lab.transitions.promote_many, lab.names, clock=lambda: now
    )
    with capture_logs() as logs:
        for _ in range(3):
            result = await sweep.run_once()
            assert result.failed == 1
            now += CAP_S
        await lab.command("DEL", "relay:{bad}:delayed")
        assert (await sweep.run_once()).failed == 0
    assert await lab.ids("delayed") == []
    assert [line["event"] for line in logs] == ["queue_sweep_failed", "queue_sweep_recovered"]


async def test_a_store_that_is_away_is_one_error_of_the_round(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    await lab.enqueued(a_job())
    run = lab.engine.scripts.run

    async def refuse_reap(name: str, *args: Any, **options: Any) -> list[bytes]:
        if name == "reap":
            raise errors.StoreUnavailable
        return await run(name, *args, **options)

    monkeypatch.setattr(lab.engine.scripts, "run", refuse_reap)
    sweep = sweeps.reaper(lab.transitions, lab.names)
    with capture_logs() as logs, pytest.raises(errors.StoreUnavailable):
        await sweep.run_once()
    assert logs == []
    monkeypatch.setattr(lab.engine.scripts, "run", run)
    assert (await sweep.run_once()).queues == 1, "looked at as soon as the store is back"


async def test_a_cancelled_look_at_the_names_is_cancelled(lab: Lab) -> None:
    """At whatever step of connecting, sending or reading it comes."""
    client = client_as_relay(f"unix://{lab.server.socket_of(keys.QUEUES)}")
    link = link_to(client)
    names = Names(ScriptRunner(link), limits=NameLimits())
    try:
        for steps in range(40):
            for _ in range(5):
                look = asyncio.create_task(names.all())
                for _ in range(steps):
                    await asyncio.sleep(0)
                if look.cancel():
                    await asyncio.wait({look}, timeout=5)
                    assert look.cancelled(), f"lost after {steps} steps"
                await client.connection_pool.disconnect()
    finally:
        await client.aclose()


async def test_the_sampler_reads_all_queues(lab: Lab) -> None:
    await lab.enqueued(a_job(), a_job())
    other = new_queue()
    await lab.transitions.enqueue(other, [a_job()])
    samples = Samples()
    result = await sampler_of(lab.engine, samples).run_once()
    assert {one.queue: one.ready for one in samples.last} == {lab.queue: 2, other: 1}
    assert (result.queues, result.recorded) == (2, 0)


async def test_each_minute_is_written_once_by_the_first_server(lab: Lab) -> None:
    engines = [lab.engine, lab.another_engine("server-2")]
    samplers = [sampler_of(engine, Samples()) for engine in engines]
    await lab.enqueued(a_job())
    minute = lab.clock.now_ms // 60_000
    lab.clock.now_ms = minute * 60_000 + 58_000
    first = [await sampler.run_once() for sampler in samplers]
    assert [result.recorded for result in first] == [0, 0]
    assert all(result.wait_s == pytest.approx(2.05) for result in first)

    lab.clock.now_ms = (minute + 1) * 60_000 + 50
    assert [(await sampler.run_once()).recorded for sampler in samplers] == [1, 0]
    assert [(await sampler.run_once()).recorded for sampler in samplers] == [0, 0]
    ((written, totals),) = await lab.ops.history(lab.queue)
    assert (written, totals["enqueued"], totals["ready"]) == (minute, 1, 1)


async def test_delayed_jobs_move_with_no_client_at_all(lab: Lab) -> None:
    """A server that starts on a store with only delayed jobs learns of their queues from the names."""
    (job_id,) = await lab.enqueued(a_job(delay_ms=1000))
    lab.clock.advance(1000)
    restarted = lab.another_engine("server-2")
    assert (await sweeps.promoter(restarted.transitions, restarted.names).run_once()).taken == 1
    assert (await lab.ops.get_job(lab.queue, job_id)).state is State.READY  # type: ignore[union-attr]
