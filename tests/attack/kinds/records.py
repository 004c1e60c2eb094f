"""Damage in the attacker's own queue: records and bodies that are cut, shifted or no job, where workers meet them."""

import asyncio
import os
from typing import Any

from redis.asyncio import Redis

from relay.v1 import admin_service_pb2 as admin_pb
from relay.v1 import job_pb2
from relay.v1 import queue_service_pb2 as pb
from relay_server.engine import keys
from tests.attack.place import ATTACKER, Place
from tests.attack.stage import stage
from tests.support.figures import Figure
from tests.support.waiting import eventually

QUEUE = f"{ATTACKER}-damaged"
BATCH = 200


async def _enqueue(place: Place, n: int) -> None:
    async with place.caller(place.producer) as caller:
        specs = [job_pb2.JobSpec(type="attack", payload=os.urandom(100)) for _ in range(n)]
        await caller.queue.EnqueueBatch(
            pb.EnqueueBatchRequest(queue=QUEUE, jobs=specs), metadata=caller.metadata
        )


async def _damage(store: Any, every: int) -> int:
    """Every so many of the jobs that wait, in one of five ways. Returns how many."""
    named = keys.queue_keys(QUEUE)
    ids: list[bytes] = await store.zrange(named["ready"], 0, -1)
    chosen = ids[::every]
    for n, job_id in enumerate(chosen):
        record = await store.hget(named["state"], job_id)
        match n % 5:
            case 0:
                await store.hset(named["state"], job_id, record[:-1])
            case 1:
                await store.hset(named["state"], job_id, record[:20] + bytes(4) + record[20:])
            case 2:
                await store.hdel(named["body"], job_id)
            case 3:
                await store.hset(named["body"], job_id, b"\xff\xff\xff")
            case 4:
                await store.hset(named["state"], job_id, os.urandom(90))
    return len(chosen)


async def _work(place: Place, n: int) -> int:
    """Claims and acknowledges until `n` jobs came, or nothing comes for 5 s. Returns how many came."""
    done = 0
    async with place.caller(place.worker) as caller:
        request = pb.ClaimRequest(
            queues=[pb.QueueWeight(queue=QUEUE, weight=1)], worker_id="attack", max_in_flight=50
        )
        call = caller.queue.Claim(request, metadata=caller.metadata)
        try:
            async with asyncio.timeout(5) as limit:
                async for frame in call:
                    if not frame.HasField("jobs"):
                        continue
                    group = pb.LeaseGroup(
                        queue=QUEUE,
                        lease_token=frame.jobs.lease_token,
                        job_ids=[one.job.id for one in frame.jobs.jobs],
                    )
                    await caller.queue.Ack(pb.AckRequest(leases=[group]), metadata=caller.metadata)
                    done += len(frame.jobs.jobs)
                    if done >= n:
                        break
                    limit.reschedule(asyncio.get_running_loop().time() + 5)
        except TimeoutError:
            pass
        finally:
            call.cancel()
    return done


async def press(place: Place) -> None:
    store: Any = Redis.from_url(place.store)
    while True:
        await _enqueue(place, BATCH)
        bad = await _damage(store, 10)
        await _work(place, BATCH - bad)
        async with place.caller(place.operator) as caller:
            purge = admin_pb.PurgeQueueRequest(queue=QUEUE, confirm=QUEUE)
            async for _ in caller.admin.PurgeQueue(purge, metadata=caller.metadata):
                pass


async def measure(*, whole: bool) -> list[Figure]:
    rounds, came, wanted, damaged = 20 if whole else 2, 0, 0, 0
    async with stage() as on:
        store: Any = Redis.from_url(on.place.store)
        try:
            async with on.innocent() as felt:
                for _ in range(rounds):
                    await _enqueue(on.place, BATCH)
                    bad = await _damage(store, 10)
                    damaged, wanted = damaged + bad, wanted + BATCH - bad
                    came += await _work(on.place, BATCH - bad)
            async with on.place.caller(on.place.operator) as caller:

                async def aside() -> int:
                    request = admin_pb.StatsRequest(queue=QUEUE)
                    (queue,) = (await caller.admin.Stats(request, metadata=caller.metadata)).queues
                    return int(queue.unreadable)

                async def all_aside() -> bool:
                    return await aside() == damaged

                await eventually(all_aside, within=10, what="what is damaged is set aside")
                audit = caller.admin.Audit(admin_pb.AuditRequest(queue=QUEUE), metadata=caller.metadata)
                named = {found.job_id async for step in audit for found in step.findings}
        finally:
            await store.aclose()
        return [
            Figure(
                name="sound jobs of the damaged queue that did not run",
                value=wanted - came,
                most=0,
                unit="jobs",
            ),
            Figure(
                name="damaged jobs that the audit does not name",
                value=damaged - len(named),
                most=0,
                unit="jobs",
            ),
            *felt.figures("damage in another queue"),
            *await on.nothing_lost(),
        ]
