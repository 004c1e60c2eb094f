"""Measures what the Python SDK does against a server and prints one line of JSON, as the programs of the other SDKs do.

enqueue_per_s        jobs a second of concurrent enqueue() calls, which the SDK gathers
enqueue_batch_per_s  of one enqueue_batch()
work_per_s           of one worker with a handler that does nothing, from its first job to its last
"""

import argparse
import asyncio
import json
import logging
import time

import structlog

from relay_client import AsyncClient, __version__
from relay_client.connection import connection
from relay_worker import Context, Jobs
from relay_worker.worker import Worker, WorkerConfig

PAYLOAD = bytes(100)


async def main() -> None:
    """Runs the three measurements one after the other, on one queue."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.python_sdk")
    parser.add_argument("--server", default="localhost:50051", help="HOST:PORT of the server")
    parser.add_argument("--queue", default="bench-python", help="queue to use; it should be empty")
    parser.add_argument(
        "--jobs", type=int, default=10_000, help="jobs of each of the two ways to enqueue, at least 1"
    )
    parser.add_argument("--callers", type=int, default=64, help="callers that enqueue one job at a time")
    parser.add_argument("--concurrency", type=int, default=256, help="handlers at once")
    options = parser.parse_args()
    # Standard output is for the figures.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    async with AsyncClient(options.server) as client:
        await client.enqueue(options.queue, "noop", PAYLOAD)  # connects
        single_s = await _enqueue_each(client, options.queue, options.jobs, options.callers)
        started = time.perf_counter()
        await client.enqueue_batch(
            options.queue, [{"type": "noop", "payload": PAYLOAD} for _ in range(options.jobs)]
        )
        batch_s = time.perf_counter() - started
    work_s = await _work(options.server, options.queue, 2 * options.jobs + 1, options.concurrency)
    report = {
        "sdk": "python",
        "version": __version__,
        "jobs": options.jobs,
        "enqueue_per_s": round(options.jobs / single_s),
        "enqueue_batch_per_s": round(options.jobs / batch_s),
        "work_per_s": round((2 * options.jobs + 1) / work_s),
    }
    print(json.dumps(report))


async def _enqueue_each(client: AsyncClient, queue: str, jobs: int, callers: int) -> float:
    left = jobs

    async def caller() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await client.enqueue(queue, "noop", PAYLOAD)

    started = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(callers)))
    return time.perf_counter() - started


async def _work(server: str, queue: str, jobs: int, concurrency: int) -> float:
    handlers = Jobs()
    times: list[float] = []
    config = WorkerConfig(queues={queue: 1}, server=connection(server), concurrency=concurrency)

    @handlers.handler("noop")
    async def noop(payload: bytes, ctx: Context) -> None:
        times.append(time.perf_counter())
        if len(times) == jobs:
            worker.stop()

    worker = Worker(handlers, config)
    await worker.run()
    return times[-1] - times[0]


if __name__ == "__main__":
    asyncio.run(main())
