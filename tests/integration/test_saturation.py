"""Counts, not seconds: what 10 000 jobs cost in calls, scripts and Redis commands, whatever the machine is doing."""

import asyncio

import pytest

from relay.v1 import queue_service_pb2 as pb
from tests.support.redis_server import RedisServer
from tests.support.relay import Relay, lease_groups, new_queue, spec

JOBS, BATCH, WINDOW, STREAMS = 10_000, 100, 200, 4


@pytest.mark.one_server
async def test_what_a_job_costs_at_saturation(relay: Relay, relay_redis: RedisServer) -> None:
    """Enqueued in batches of 100, drained by 4 streams with windows of 200 that ack what came together."""
    queue = new_queue()
    calls = {"EnqueueBatch": 0, "Ack": 0}
    async with relay_redis.client() as client:

        async def counted() -> tuple[int, int]:
            info = await client.info("commandstats")
            total = sum(int(entry["calls"]) for entry in info.values())
            return int(info.get("cmdstat_evalsha", {}).get("calls", 0)), total

        async def enqueue() -> None:
            batch = pb.EnqueueBatchRequest(queue=queue, jobs=[spec() for _ in range(BATCH)])
            await relay.queue.EnqueueBatch(batch)
            calls["EnqueueBatch"] += 1

        start = await counted()
        for _ in range(JOBS // BATCH // 10):
            await asyncio.gather(*(enqueue() for _ in range(10)))
        enqueued = await counted()

        left = JOBS

        async def drain() -> None:
            nonlocal left
            worker = await relay.claimer(queue, max_in_flight=WINDOW)
            while left:
                held = worker.rest()
                if not held:
                    await asyncio.sleep(0.001)
                    continue
                left -= len(held)
                worker.settled(held)
                calls["Ack"] += 1
                await relay.queue.Ack(pb.AckRequest(leases=lease_groups(held), window=worker.report()))

        await asyncio.gather(*(drain() for _ in range(STREAMS)))
        drained = await counted()

    rpcs = sum(calls.values()) / JOBS
    scripts = [(b[0] - a[0]) / JOBS for a, b in ((start, enqueued), (enqueued, drained))]
    commands = [(b[1] - a[1]) / JOBS for a, b in ((start, enqueued), (enqueued, drained))]
    print(
        f"\nper job: {rpcs:.4f} RPCs, EVALSHA {scripts[0]:.4f} to enqueue and {scripts[1]:.4f} to claim and ack,"
    )
    print(f"Redis commands, those inside scripts included: {commands[0]:.3f} and {commands[1]:.3f}")
    stats = await relay.stats(queue)
    assert (stats.ready, stats.inflight, stats.counters["acked"]) == (0, 0, JOBS)
    assert rpcs < 0.05
    assert scripts[0] < 0.012
    assert scripts[1] < 0.04
    assert commands[0] < 0.2
    assert commands[1] < 0.6
