"""The workloads T1 to T4, and the table of all. Each has a fresh stack and checks that its jobs were done."""

import asyncio
import statistics
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.direct import drain_directly
from benchmarks.gateway import gateway_cost
from benchmarks.sdks import sdk_throughput
from benchmarks.stack import Stack, running_stack, wait_until
from relay_cli.measure import measure
from relay_cli.options import Options
from relay_client import AsyncClient
from relay_client.ids import new_id

PAYLOAD = b"x" * 100
WINDOW = 1000
Figures = dict[str, Any]


def t1_end_to_end(jobs: int) -> Figures:
    """Python SDK: enqueue all, then one worker process drains them with a no-op handler. A job counts when its ack is
    stored."""
    with running_stack() as stack:
        before = stack.cost()
        enqueue_s = asyncio.run(_enqueue(stack, "t1", jobs))
        between, record = stack.cost(), stack.folder / "done"
        with stack.worker("t1", concurrency=WINDOW, record=record):
            wait_until(lambda: _acked(stack, "t1") > 0, within_s=30)
            first, started = _acked(stack, "t1"), time.perf_counter()
            wait_until(lambda: _acked(stack, "t1") >= jobs, within_s=300)
            drain_s = time.perf_counter() - started
            after = stack.cost()
        _check_distinct(record, jobs)
        return {
            "jobs": jobs,
            "enqueue_per_s": jobs / enqueue_s,
            "drain_per_s": (jobs - first) / drain_s,
            "enqueue_cost": (between - before).per_job(jobs),
            "drain_cost": (after - between).per_job(jobs),
        }


def t2_enqueue(jobs: int) -> Figures:
    """Enqueue only: EnqueueBatch of 100 by the SDK, and 64 callers with single enqueues that the SDK gathers."""
    with running_stack() as stack:
        start = stack.cost()
        batch_s = asyncio.run(_enqueue(stack, "t2-batch", jobs))
        middle = stack.cost()
        single_s = asyncio.run(_enqueue_single(stack, "t2-single", jobs, callers=64))
        end = stack.cost()
        _check_stored(stack, "t2-batch", jobs)
        _check_stored(stack, "t2-single", jobs)
        return {
            "jobs": jobs,
            "batch_per_s": jobs / batch_s,
            "single64_per_s": jobs / single_s,
            "batch_cost": (middle - start).per_job(jobs),
            "single64_cost": (end - middle).per_job(jobs),
        }


def t3_efficiency(jobs: int) -> Figures:
    """Claim and ack by generated stubs, beside the same scripts driven by a pipelined Redis client in one run."""
    with running_stack() as stack:
        options = Options(server=stack.target)
        before = stack.cost()
        (_, drained), drain = asyncio.run(measure(options, "t3", jobs, 2, WINDOW, len(PAYLOAD)))
        after = stack.cost()
        if len(drain.done) != jobs or drain.repeated:
            raise SystemExit(f"T3: {len(drain.done)} distinct of {jobs} jobs, {drain.repeated} repeated")
        direct_per_s = asyncio.run(drain_directly(stack, "t3-direct", jobs, PAYLOAD))
        return {
            "jobs": jobs,
            "stubs_per_s": drained.per_second,
            "direct_per_s": direct_per_s,
            "ratio": drained.per_second / direct_per_s,
            "cost": (after - before).per_job(jobs),
        }


def t4_latency(jobs: int, *, rate: int = 1000) -> Figures:
    """Open loop: sends jobs at fixed times, also while earlier ones wait.

    Measures from the intended time of a job to the start of its handler.
    """
    with running_stack() as stack:
        record = stack.folder / "latency"
        with stack.worker("t4", concurrency=100, record=record):
            late_s = asyncio.run(_send_open_loop(stack, "t4", jobs, rate))
            wait_until(lambda: _acked(stack, "t4") >= jobs, within_s=60)
        rows = [line.split() for line in record.read_text().splitlines()]
        if len({job_id for job_id, _ in rows}) != jobs:
            raise SystemExit(f"T4: {len(rows)} starts of {jobs} jobs")
        latencies = sorted(float(latency) * 1000 for _, latency in rows)
        return {
            "jobs": jobs,
            "rate_per_s": rate,
            "p50_ms": statistics.median(latencies),
            "p99_ms": latencies[int(len(latencies) * 0.99)],
            "max_ms": latencies[-1],
            "send_lag_p99_ms": late_s * 1000,
        }


WORKLOADS: dict[str, tuple[Callable[[int], Figures], int, int]] = {
    # name: workload, jobs, jobs of the short form
    "T1": (t1_end_to_end, 100_000, 2_000),
    "T2": (t2_enqueue, 100_000, 2_000),
    "T3": (t3_efficiency, 100_000, 2_000),
    "T4": (t4_latency, 20_000, 500),
    "gateway": (gateway_cost, 20_000, 500),
    "sdks": (sdk_throughput, 20_000, 300),
}


async def _enqueue(stack: Stack, queue: str, jobs: int) -> float:
    async with AsyncClient(stack.target) as relay:
        started = time.perf_counter()
        chunks = [{"type": "bench.noop", "payload": PAYLOAD} for _ in range(jobs)]
        await relay.enqueue_batch(queue, chunks)
        return time.perf_counter() - started


async def _enqueue_single(stack: Stack, queue: str, jobs: int, *, callers: int) -> float:
    async with AsyncClient(stack.target) as relay:
        left = jobs

        async def caller() -> None:
            nonlocal left
            while left > 0:
                left -= 1
                await relay.enqueue(queue, "bench.noop", PAYLOAD)

        started = time.perf_counter()
        await asyncio.gather(*(caller() for _ in range(callers)))
        return time.perf_counter() - started


async def _send_open_loop(stack: Stack, queue: str, jobs: int, rate: int) -> float:
    """Returns the 99th percentile of how late jobs were sent, in seconds."""
    lags: list[float] = []
    async with AsyncClient(stack.target) as relay, asyncio.TaskGroup() as group:
        await relay.enqueue(queue, "bench.timed", b"%f" % time.monotonic(), job_id=str(uuid.UUID(new_id())))
        start = time.monotonic() + 0.5
        for i in range(jobs - 1):
            due = start + i / rate
            pause = due - time.monotonic()
            if pause > 0:
                await asyncio.sleep(pause)
            lags.append(time.monotonic() - due)
            group.create_task(relay.enqueue(queue, "bench.timed", b"%f" % due))
    return sorted(lags)[int(len(lags) * 0.99)]


def _acked(stack: Stack, queue: str) -> int:
    return int(stack.redis.hget(f"relay:{{{queue}}}:count", "acked") or 0)


def _check_stored(stack: Stack, queue: str, jobs: int) -> None:
    stored = stack.redis.hlen(f"relay:{{{queue}}}:body")
    if stored != jobs:
        raise SystemExit(f"{queue}: {stored} of {jobs} jobs are stored")


def _check_distinct(record: Path, jobs: int) -> None:
    ids = record.read_text().split()
    if len(ids) != jobs or len(set(ids)) != jobs:
        raise SystemExit(f"{len(ids)} completions, {len(set(ids))} distinct, of {jobs} jobs")
