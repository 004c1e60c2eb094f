"""Pages of dead letters whose errors are as long as they may be, 24 of them asked for at once."""

import asyncio
import os

import grpc

from relay.v1 import dead_letter_service_pb2 as pb
from relay.v1 import job_pb2, queue_service_pb2
from relay_server.model import ClaimGroup, NackedJob
from relay_server.words import NackWord
from tests.attack.place import ATTACKER, Caller, Place
from tests.attack.stage import stage
from tests.attack.watched import Watched, watched
from tests.support.figures import KIB, Figure
from tests.support.relay import seconds, spec

QUEUE = f"{ATTACKER}-dead"
AT_ONCE = 24
_ERROR = job_pb2.JobError(type="Boom", message="m" * 200, stack="s" * 7900)
_PRESSED_JOBS = 500


async def _ask(caller: Caller, calls: int) -> int:
    """Pages of 500, 24 at once; returns the rows that came with as much of their message as a list shows."""
    rows = 0

    async def one() -> None:
        nonlocal calls, rows
        while calls > 0:
            calls -= 1
            request = pb.ListDeadLettersRequest(queue=QUEUE, page_size=500)
            try:
                page = await caller.dead_letters.ListDeadLetters(request, metadata=caller.metadata)
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                    raise
                await asyncio.sleep(0.1)
                calls += 1  # an honest refusal: it is asked again
                continue
            rows += sum(len(job.error_message) == 200 for job in page.jobs)
            await caller.dead_letters.GroupDeadLetters(
                pb.GroupDeadLettersRequest(queue=QUEUE), metadata=caller.metadata
            )

    await asyncio.gather(*(one() for _ in range(AT_ONCE)))
    return rows


async def press(place: Place) -> None:
    """Makes its dead letters as a producer and a worker may, then looks at them for ever."""
    async with (
        place.caller(place.producer) as producer,
        place.caller(place.worker) as worker,
        place.caller(place.operator) as operator,
    ):
        for _ in range(_PRESSED_JOBS // 100):
            jobs = [spec(retry=job_pb2.RetryPolicy(max_attempts=4)) for _ in range(100)]
            await producer.queue.EnqueueBatch(
                queue_service_pb2.EnqueueBatchRequest(queue=QUEUE, jobs=jobs), metadata=producer.metadata
            )
        await _fail_all(worker, 4 * _PRESSED_JOBS)
        while True:
            await _ask(operator, AT_ONCE)


async def _fail_all(worker: Caller, failures: int) -> None:
    """Claims on one stream and nacks what comes, until so many attempts have failed."""
    queues = [queue_service_pb2.QueueWeight(queue=QUEUE, weight=1)]
    call = worker.queue.Claim(
        queue_service_pb2.ClaimRequest(worker_id="evil", queues=queues, max_in_flight=100),
        metadata=worker.metadata,
    )
    started, received, seq = queue_service_pb2.Started(), 0, 0
    async for frame in call:
        if frame.WhichOneof("frame") == "started":
            started = frame.started
        if frame.WhichOneof("frame") != "jobs":
            continue
        received, seq = received + len(frame.jobs.jobs), seq + 1
        nacks = [
            queue_service_pb2.NackedJob(
                queue=QUEUE,
                job_id=claimed.job.id,
                lease_token=frame.jobs.lease_token,
                kind=queue_service_pb2.NACK_KIND_RETRY,
                after=seconds(0),
                error=_ERROR,
            )
            for claimed in frame.jobs.jobs
        ]
        report = queue_service_pb2.WindowReport(
            session_id=started.session_id, received=received, in_flight=0, seq=seq, stream=started.stream
        )
        await worker.queue.Nack(
            queue_service_pb2.NackRequest(jobs=nacks, window=report), metadata=worker.metadata
        )
        if received >= failures:
            call.cancel()
            return


async def _bury(store: Watched, jobs: int) -> None:
    await store.fill(QUEUE, jobs)
    error = _ERROR.SerializeToString()
    for attempt in range(4):
        given = 0
        while given < jobs:
            token = os.urandom(16)
            claimed = await store.engine.transitions.claim(QUEUE, [ClaimGroup(token, 60_000, 100, "w")])
            kind, after = (NackWord.DEAD, -1) if attempt == 3 else (NackWord.RETRY, 0)
            nacks = [NackedJob(job.id, token, kind, after, "Boom", error) for job in claimed.groups[0]]
            given += len(await store.engine.transitions.nack(QUEUE, nacks))


async def _on(kind: str, *, jobs: int, calls: int) -> list[Figure]:
    async with watched(kind) as store, stage(redis_url=store.url) as on:
        await _bury(store, jobs)
        before = on.rss_mib()
        async with on.place.caller(on.place.operator) as caller, on.innocent() as felt, store.ran() as ran:
            rows = await _ask(caller, calls)
        grown = on.rss_mib() - before
        print(f"    {kind}: {rows} rows, the server grew by {grown:.0f} MiB", flush=True)
        return [
            *ran.figures(f"{calls} pages of {jobs} dead letters", seconds_max=120),
            Figure(name="a row carries out of Redis", value=ran.bytes_out / rows / KIB, most=2, unit="KiB"),
            Figure(name="rows that are missing", value=calls * min(jobs, 500) - rows, most=0, unit="rows"),
            Figure(name=f"{kind}: memory grown", value=grown, most=60, unit="MiB"),
            *felt.figures(f"{AT_ONCE} pages of dead letters at once"),
        ]


async def measure(*, whole: bool) -> list[Figure]:
    if not whole:
        return await _on("valkey9", jobs=200, calls=48)
    return [figure for kind in ("redis7", "valkey9") for figure in await _on(kind, jobs=2000, calls=480)]
