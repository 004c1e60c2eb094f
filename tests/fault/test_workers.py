"""Worker processes that are killed or frozen: their jobs run elsewhere, and what they say too late changes nothing."""

import time
from typing import Any

from relay_client import RetryPolicy
from tests.support.fleet import Fleet, WorkerUnit
from tests.support.history import read_history
from tests.support.relay import eventually

QUICKLY = RetryPolicy(max_attempts=50, initial_backoff="20ms", max_backoff="50ms")
LEASE_S = 2.0
GRACE_S = LEASE_S / 2


def hanging_once(n: int) -> dict[str, Any]:
    return {"type": "work", "payload": {"hang": 1}, "retry": QUICKLY}


def of_100_ms(n: int) -> dict[str, Any]:
    return {"type": "work", "payload": {"ms": 100}, "retry": QUICKLY}


async def test_a_killed_worker_s_jobs_run_elsewhere_after_the_disconnect_grace() -> None:
    async with Fleet.start(workers=1, concurrency=8, lease=f"{LEASE_S:g}s") as fleet:
        await fleet.producer(hanging_once).send(8)

        def all_run() -> bool:
            return len(read_history(fleet.history).runs) == 8

        await eventually(all_run, what="8 handlers at work")
        (worker,) = fleet.workers
        fleet.workers = []
        other = fleet.add_worker()
        await eventually(lambda: "stream open" in other.log.read_text(), within=20, what="another worker")
        await worker.kill()
        killed = time.monotonic()
        verdict, settled = await fleet.judge(within=20)
        assert time.monotonic() - killed < LEASE_S + GRACE_S + 1
        assert verdict.ok, verdict.violations[:5]
        assert settled.findings == []
        assert (verdict.counts["done"], settled.stats.counters["expired"]) == (8, 8)
        finished = [run for run in read_history(fleet.history).runs if run.finished]
        assert {run.client for run in finished} == {other.name}
        assert {run.attempt for run in finished} == {2}


async def test_a_worker_frozen_past_its_lease_is_too_late_when_it_thaws() -> None:
    async with Fleet.start(workers=2, concurrency=32, lease=f"{LEASE_S:g}s") as fleet:
        frozen, other = fleet.workers
        async with fleet.producing(of_100_ms, rate=150):
            await fleet.until_acked(100)
            await eventually(lambda: _frozen_at_work(fleet, frozen), what="a worker frozen with jobs in hand")
        # Everything it held is over, and its jobs went to the other one, which is not kept busy with new ones.
        await eventually(lambda: _rerun(fleet, frozen.name), within=40, what="its jobs run elsewhere")
        frozen.thaw()
        async with fleet.producing(of_100_ms, rate=50):
            await fleet.until_more_acked(100)
        verdict, settled = await fleet.judge(within=20)
        assert verdict.ok, verdict.violations[:5]
        assert settled.findings == []
        assert settled.stats.counters["acked"] == verdict.counts["enqueued"]
        late = [
            op
            for op in read_history(fleet.history).ops
            if op.client == frozen.name and op.reply.startswith(("LEASE_LOST", "GONE"))
        ]
        # What it finishes before it looks at its leases is settled too late; the rest it stops by itself.
        stopped = frozen.log.read_text().count('"job stopped"')
        assert len(late) + stopped > 0
        assert settled.stats.counters.get("stale", 0) == verdict.counts["stale refused"]
        assert {run.client for run in read_history(fleet.history).runs} == {frozen.name, other.name}


def _frozen_at_work(fleet: Fleet, worker: WorkerUnit) -> bool:
    """Freezes the worker; one that has nothing to do at that moment goes on."""
    worker.freeze()
    if _held(fleet, worker.name):
        return True
    worker.thaw()
    return False


def _held(fleet: Fleet, name: str) -> set[str]:
    """Jobs that `name` has taken and not finished."""
    history = read_history(fleet.history)
    finished = {run.job for run in history.runs if run.finished and run.client == name}
    return {one.job for one in history.deliveries if one.client == name} - finished


def _rerun(fleet: Fleet, name: str) -> bool:
    """Whether every job that `name` holds has been finished by another worker."""
    runs = read_history(fleet.history).runs
    return _held(fleet, name) <= {run.job for run in runs if run.finished and run.client != name}
