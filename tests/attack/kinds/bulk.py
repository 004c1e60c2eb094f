"""Work on a million jobs at once: cancel by type, with and without a match, audit, purge; nacks with long errors."""

import asyncio
import itertools
import os
from typing import Any

from relay.v1 import admin_service_pb2 as pb
from relay.v1 import queue_service_pb2
from relay_server.model import ClaimGroup, NackedJob
from relay_server.words import NackWord
from tests.attack.place import ATTACKER, Caller, Place
from tests.attack.stage import Stage, stage
from tests.attack.watched import Watched, watched
from tests.support.figures import MIB, Figure
from tests.support.relay import spec

QUEUE = f"{ATTACKER}-bulk"
AT_ONCE = 4
_PRESSED_JOBS = 20_000


async def _last(call: Any) -> Any:
    return [step async for step in call][-1]


def _cancel(job_type: str, *, dry_run: bool = True) -> pb.CancelJobsRequest:
    return pb.CancelJobsRequest(queue=QUEUE, filter=pb.JobFilter(type=job_type), dry_run=dry_run)


async def press(place: Place) -> None:
    """Dry runs that match nothing, cancels, audits and lists by a type that is not there, a few at once, for ever."""
    async with place.caller(place.producer) as producer, place.caller(place.operator) as caller:
        for _ in range(0, _PRESSED_JOBS, 500):
            jobs = [spec(type=f"t{n % 10}") for n in range(500)]
            await producer.queue.EnqueueBatch(
                queue_service_pb2.EnqueueBatchRequest(queue=QUEUE, jobs=jobs), metadata=producer.metadata
            )

        async def one(number: int) -> None:
            for turn in itertools.count(number):
                admin, metadata = caller.admin, caller.metadata
                if turn % 4 == 0:
                    await _last(admin.Audit(pb.AuditRequest(queue=QUEUE), metadata=metadata))
                elif turn % 4 == 1:
                    listing = pb.ListJobsRequest(queue=QUEUE, state=1, type="none", page_size=500)  # type: ignore[arg-type]
                    await admin.ListJobs(listing, metadata=metadata)
                else:
                    await _last(admin.CancelJobs(_cancel("none"), metadata=metadata))

        await asyncio.gather(*(one(number) for number in range(AT_ONCE)))


async def _nacks(store: Watched) -> None:
    """500 jobs, each failed five times with 8 KiB of error."""
    queue = f"{QUEUE}-nacks"
    await store.fill(queue, 500)
    for attempt in range(5):
        token = os.urandom(16)
        kind = NackWord.DEAD if attempt == 4 else NackWord.RETRY
        failed: list[NackedJob] = []
        for _ in range(5):
            claimed = await store.engine.transitions.claim(queue, [ClaimGroup(token, 30_000, 100, "w")])
            failed += [NackedJob(job.id, token, kind, 0, "E", b"e" * 8180) for job in claimed.groups[0]]
        assert len(await store.engine.transitions.nack(queue, failed)) == 500


async def _operations(caller: Caller, on: Stage, store: Watched, jobs: int) -> list[Figure]:
    admin, metadata = caller.admin, caller.metadata
    figures: list[Figure] = []

    async with on.innocent() as felt, store.ran() as ran:
        dry = await _last(admin.CancelJobs(_cancel("none"), metadata=metadata))
    assert (dry.examined, dry.matched) == (jobs, 0)
    figures += [*ran.figures("dry run that matches nothing", seconds_max=25), *felt.figures("a dry run")]
    carried = Figure(
        name="a dry run carries out of Redis", value=ran.bytes_out / jobs, most=20, unit="bytes a job"
    )

    async with on.innocent() as felt, store.ran() as ran:
        done = await _last(admin.CancelJobs(_cancel("t3", dry_run=False), metadata=metadata))
    assert done.cancelled == jobs // 10
    figures += [*ran.figures("cancel by type", seconds_max=25), *felt.figures("cancel by type")]

    async with on.innocent() as felt, store.ran() as ran:
        for _ in range(20):
            await admin.Stats(pb.StatsRequest(queue=QUEUE), metadata=metadata)
        audited = await _last(admin.Audit(pb.AuditRequest(queue=QUEUE), metadata=metadata))
    assert audited.checked >= jobs * 9 // 10
    figures += [*ran.figures("audit", seconds_max=25), *felt.figures("an audit")]

    async with on.innocent() as felt, store.ran() as ran:
        await _nacks(store)
    figures += [*ran.figures("nacks of 500 x 8 KiB", seconds_max=5), *felt.figures("nacks with long errors")]

    async with on.innocent() as felt, store.ran() as ran:
        purge = pb.PurgeQueueRequest(queue=QUEUE, confirm=QUEUE)
        purged = await _last(admin.PurgeQueue(purge, metadata=metadata))
    assert purged.purged == jobs * 9 // 10
    figures += [*ran.figures("purge", seconds_max=25), *felt.figures("a purge")]
    return [*figures, carried]


async def _on(kind: str, jobs: int) -> list[Figure]:
    async with watched(kind) as store, stage(redis_url=store.url) as on:
        await store.fill(QUEUE, jobs, body=b"x" * 200)
        before = on.rss_mib()
        async with on.place.caller(on.place.operator) as caller:
            figures = await _operations(caller, on, store, jobs)
        grown = on.rss_mib() - before
        print(f"    {kind}: the server grew by {grown:.0f} MiB, {jobs / MIB:.2f} Mi jobs", flush=True)
        return [*figures, Figure(name=f"{kind}: memory grown", value=grown, most=40, unit="MiB")]


async def measure(*, whole: bool) -> list[Figure]:
    if not whole:
        return await _on("valkey9", 20_000)
    return [figure for kind in ("redis7", "valkey9") for figure in await _on(kind, 1_000_000)]
