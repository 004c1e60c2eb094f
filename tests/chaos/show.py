"""Scripted faults at full size, each a command that prints its figures and says whether the promise held."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from relay.v1 import queue_service_pb2 as pb
from relay_client import RetryPolicy
from tests.support.fleet import Fleet, Settled, Sheet, WorkerUnit, completions, sampled
from tests.support.history import Run, Verdict, read_history
from tests.support.relay import Relay, connected
from tests.support.slow_reader import slow_reader
from tests.support.waiting import eventually

LEASE = "30s"
FROZEN_S = 40.0
ELSEWHERE_S = 20.0
HANDED_BACK_S = 1.0
SLOW_JOBS = 80
_MUCH_WAITS = ("--session-bytes-max", str(64 << 20))  # of 200 kB each
NAIVE_JOBS = 20


def _retry() -> RetryPolicy:
    return RetryPolicy(max_attempts=20, initial_backoff="50ms", max_backoff="500ms")


def quick(n: int) -> dict[str, Any]:
    return {"type": "work", "payload": {}, "retry": _retry()}


def of_50_ms(n: int) -> dict[str, Any]:
    """Later attempts take so long that they still run when the frozen worker thaws."""
    return {"type": "work", "payload": {"ms": 50, "again_ms": 18_000}, "retry": _retry()}


async def _enqueue(fleet: Fleet, jobs: int, make: Callable[[int], dict[str, Any]]) -> None:
    producer = fleet.producer(make)
    while producer.sent < jobs:
        await producer.send(min(500, jobs - producer.sent))
    assert not producer.failures, producer.failures[:3]


async def _accounts(sheet: Sheet, fleet: Fleet, jobs: int, *, within: float) -> tuple[Verdict, Settled]:
    """Every job done once: by the workers' own append-only files, the history, the store's totals and the audit."""
    verdict, settled = await fleet.judge(within=within)
    finished = Counter(job for job, _, _ in completions(fleet.history))
    by_worker = Counter(worker for _, _, worker in completions(fleet.history))
    counters = {name: n for name, n in sorted(settled.stats.counters.items()) if n}
    sheet.note(f"completions by worker: {dict(by_worker)}")
    sheet.note(f"history: {verdict}")
    sheet.note(f"counters: {counters}")
    for violation in verdict.violations[:10]:
        sheet.note(f"VIOLATION {violation}")
    sheet.check(len(finished) == jobs, f"{len(finished)} distinct jobs were completed, of {jobs}")
    sheet.check(counters.get("acked") == jobs, f"{counters.get('acked')} acks were accepted")
    sheet.check(not settled.final.live and not settled.final.dead, "nothing is left in the store")
    sheet.check(verdict.ok, "the history breaks no promise")
    sheet.check(not settled.findings, f"the audit is clean: {settled.findings[:5] or 'no findings'}")
    return verdict, settled


async def competing(jobs: int) -> bool:
    """Three workers on one queue: each job is completed exactly once when nothing goes wrong."""
    sheet = Sheet(f"{jobs} jobs, three competing relay-worker processes")
    async with Fleet.start(workers=3, lease=LEASE, concurrency=64) as fleet:
        began = time.monotonic()
        await _enqueue(fleet, jobs, quick)
        await fleet.until_acked(jobs, within=300)
        seconds = time.monotonic() - began
        sheet.note(f"{seconds:.1f} s, {jobs / seconds:.0f} jobs/s, recorded by the handlers all along")
        await _accounts(sheet, fleet, jobs, within=10)
        twice = sum(n > 1 for n in Counter(job for job, _, _ in completions(fleet.history)).values())
        sheet.check(twice == 0, f"{twice} jobs were completed twice")
    return sheet.ok


async def killed(jobs: int) -> bool:
    """One of three workers killed and one frozen in the middle, with the default lease.

    The third one works off the rest before the grace ends: a job that comes back waits its turn behind a backlog.
    A claimer on raw stubs, which unlike a relay-worker does not see that its leases are over, is frozen as well.
    """
    sheet = Sheet(
        f"{jobs} jobs; of three workers one is killed and one frozen for {FROZEN_S:.0f} s, lease {LEASE}"
    )
    async with Fleet.start(workers=3, lease=LEASE, concurrency=64) as fleet, _raw(fleet) as relay:
        began = time.monotonic()
        naive = await relay.claimer(fleet.queue, max_in_flight=NAIVE_JOBS)
        await _enqueue(fleet, jobs, of_50_ms)
        naive_held = await naive.take(NAIVE_JOBS)
        await naive.close()  # it asked for no grace: its leases last, and it is given no more
        await fleet.until_acked(jobs // 2, within=120)
        victim, sleeper, _ = fleet.workers
        sleeper.freeze()
        frozen_at = time.monotonic()
        fleet.workers.remove(victim)
        await victim.kill()
        killed_at = time.time() * 1000
        orphans, asleep = await fleet.held_by(victim), await fleet.held_by(sleeper)
        sheet.note(
            f"at {time.monotonic() - began:.1f} s: {victim.name} killed with {len(orphans)} jobs, "
            f"{sleeper.name} frozen with {len(asleep)}"
        )
        await asyncio.sleep(max(0.0, frozen_at + FROZEN_S - time.monotonic()))
        sleeper.thaw()
        outcomes = Counter(await naive.ack(*naive_held))
        sheet.note(f"at {time.monotonic() - began:.1f} s: {sleeper.name} thawed")
        await fleet.until_acked(jobs, within=300)
        sheet.note(f"all done after {time.monotonic() - began:.1f} s")
        verdict, settled = await _accounts(sheet, fleet, jobs, within=30)
        history = read_history(fleet.history)
        first = _first_runs(history.runs, victim, killed_at)
        slowest = max((first.get(job, float("inf")) for job in orphans), default=float("inf"))
        sheet.check(
            slowest <= ELSEWHERE_S,
            f"{len(orphans)} jobs of the killed worker ran elsewhere within {slowest:.1f} s (of {ELSEWHERE_S:.0f})",
        )
        late = sum(
            op.client == sleeper.name and op.reply.startswith(("LEASE_LOST", "GONE")) for op in history.ops
        )
        stopped = sleeper.log.read_text().count('"job stopped"')
        sheet.note(f"the thawed worker had {late} settles refused and stopped {stopped} handlers by itself")
        lost = outcomes[pb.LEASE_OUTCOME_LEASE_LOST]
        sheet.check(lost == NAIVE_JOBS, f"{lost} of {NAIVE_JOBS} acks of the frozen raw claimer were refused")
        stale, heard = settled.stats.counters.get("stale", 0), verdict.counts["stale refused"]
        sheet.check(
            stale == heard + lost, f"the store counted {stale} stale calls; {heard} + {lost} were heard"
        )
    return sheet.ok


@asynccontextmanager
async def _raw(fleet: Fleet) -> AsyncIterator[Relay]:
    async with connected(fleet.servers[0].address) as relay:
        yield relay


def _first_runs(runs: list[Run], killed: WorkerUnit, killed_at: float) -> dict[str, float]:
    """job -> seconds from the kill to its first start on another worker."""
    first: dict[str, float] = {}
    for run in sorted(runs, key=lambda run: run.t):
        if run.client != killed.name and not run.finished and run.t > killed_at:
            first.setdefault(run.job, (run.t - killed_at) / 1000)
    return first


async def crash(jobs: int) -> bool:
    """Server and Redis killed in turn under a steady load."""
    sheet = Sheet("the server, then its Redis, are killed under load and come back")
    rate = 300.0
    async with Fleet.start(workers=3, lease=LEASE, concurrency=32) as fleet:
        (server,) = fleet.servers
        async with fleet.producing(quick, rate=rate) as producer, sampled(fleet) as throughput:
            await asyncio.sleep(5)
            before = throughput.rate(time.monotonic() - 4, time.monotonic())
            sheet.note(f"{before:.0f} jobs/s before")
            at = time.monotonic()
            await server.kill()
            await server.start()
            sheet.note(f"the server was killed and ready again {time.monotonic() - at:.1f} s later")
            back = await throughput.back(at, before)
            sheet.check(back < 30, f"throughput was back {back:.1f} s after the kill of the server")
            await asyncio.sleep(3)
            at = time.monotonic()
            await fleet.redis.kill()
            back = await throughput.back(at, before)
            sheet.check(back < 30, f"throughput was back {back:.1f} s after the kill of Redis")
            await asyncio.sleep(3)
        sheet.check(
            not producer.failures,
            f"{len(producer.failures)} of {producer.sent} enqueues failed after retries",
        )
        sheet.note(f"the slowest call took {producer.slowest_s:.1f} s")
        for worker in fleet.workers:
            sheet.check(worker.process.poll() is None, f"{worker.name} is still the process that was started")
        verdict, settled = await fleet.judge(within=60)
        sheet.note(f"history: {verdict}")
        sheet.check(
            verdict.ok, "every acknowledged enqueue is done or accounted for, and no promise is broken"
        )
        sheet.check(
            not settled.final.live, f"{len(settled.final.live)} jobs are left, {len(settled.final.dead)} dead"
        )
        sheet.check(not settled.findings, "the audit is clean")
    return sheet.ok


async def rolling(jobs: int) -> bool:
    """SIGTERM to one of two servers under load, one of whose streams has claimed jobs that it could not send."""
    sheet = Sheet("SIGTERM to one of two servers under load")
    async with Fleet.start(
        workers=3, servers=2, embedded=False, lease=LEASE, concurrency=32, server_options=_MUCH_WAITS
    ) as fleet:
        stopped, _ = fleet.servers
        async with fleet.producing(quick, rate=300.0) as producer, connected(stopped.address) as relay:
            await fleet.until_acked(500)
            await slow_reader(relay, "slow", SLOW_JOBS, stats=fleet.stats)
            at = time.monotonic()
            ending = asyncio.create_task(stopped.terminate())

            async def back() -> bool:
                return (await fleet.stats("slow")).ready > 0

            await eventually(back, within=30, what="jobs that were handed back")
            seconds = time.monotonic() - at
            slow = await fleet.stats("slow")
            sheet.check(
                seconds < HANDED_BACK_S and slow.ready + slow.inflight == SLOW_JOBS,
                f"{slow.ready} claimed jobs that were not sent were ready after {seconds:.2f} s; the stream had "
                f"{slow.inflight} of {SLOW_JOBS}",
            )
            code = await ending
            sheet.check(code == 0, f"the server ended with {code} after {time.monotonic() - at:.1f} s")
            await fleet.until_more_acked(1000)
            await stopped.start()
            await fleet.until_more_acked(1000)
        sheet.check(
            not producer.failures,
            f"{len(producer.failures)} of {producer.sent} enqueues failed after retries",
        )
        sheet.note(f"the slowest call took {producer.slowest_s:.2f} s")
        await _accounts(sheet, fleet, producer.sent, within=30)
        expired = (await fleet.stats()).counters.get("expired", 0)
        sheet.check(expired == 0, f"{expired} leases of the workers ran out")
    return sheet.ok


SHOWS: dict[str, Callable[[int], Coroutine[Any, Any, bool]]] = {
    "competing": competing,
    "killed": killed,
    "crash": crash,
    "rolling": rolling,
}
