"""Handlers of the benchmarks' worker: they do nothing, and keep the ids of their jobs until the worker stops."""

import atexit
import os
import time
from pathlib import Path

from relay_worker import Context, Jobs

jobs = Jobs()

_finished: list[str] = []
_started: list[tuple[str, float]] = []


@jobs.handler("bench.noop")
async def noop(payload: bytes, ctx: Context) -> None:
    _finished.append(ctx.job_id)


@jobs.handler("bench.timed")
async def timed(payload: bytes, ctx: Context) -> None:
    """The payload is when the job was to be sent, by CLOCK_MONOTONIC, which processes of one machine share."""
    _started.append((ctx.job_id, time.monotonic() - float(payload)))


@atexit.register
def _write() -> None:
    record = os.environ.get("RELAY_BENCH_RECORD")
    if record:
        lines = [*_finished, *(f"{job_id} {latency:.6f}" for job_id, latency in _started)]
        Path(record).write_text("\n".join(lines))
