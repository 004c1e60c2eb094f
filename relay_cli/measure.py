"""Drives a server with generated stubs alone: enqueues jobs, then claims and acknowledges them, counting each once."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from relay.v1 import job_pb2, queue_service_pb2, queue_service_pb2_grpc
from relay_cli.options import Options
from relay_cli.progress import Progress
from relay_client.connection import connection
from relay_client.ids import new_id
from relay_client.limits import BATCH_JOBS_MAX

if TYPE_CHECKING:
    from relay.v1.queue_service_pb2_grpc import QueueServiceAsyncStub

ENQUEUE_CALLS: Final = 4
# A drain that has not moved for so long has failed.
STALL_S: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """One part of the measurement: jobs, seconds, RPCs (frames of a stream count as one each)."""

    name: str
    jobs: int
    seconds: float
    rpcs: int

    @property
    def per_second(self) -> float:
        return self.jobs / self.seconds if self.seconds else 0.0


@dataclass(slots=True, kw_only=True)
class Drain:
    """How far all streams are together."""

    wanted: set[str]
    done: set[str] = field(default_factory=set)
    outcomes: Counter[int] = field(default_factory=Counter)
    repeated: int = 0
    rpcs: int = 0
    last_at: float = 0.0
    finished: asyncio.Event = field(default_factory=asyncio.Event)

    def settle(self, ids: list[str], outcomes: list[queue_service_pb2.LeaseOutcome.ValueType]) -> None:
        """Counts the answer of one Ack."""
        self.rpcs += 1
        self.last_at = time.perf_counter()
        for job_id, outcome in zip(ids, outcomes, strict=True):
            self.outcomes[outcome] += 1
            if job_id in self.done:
                self.repeated += 1
            elif outcome == queue_service_pb2.LEASE_OUTCOME_OK:
                self.done.add(job_id)
        if self.done >= self.wanted:
            self.finished.set()


async def measure(
    options: Options, queue: str, jobs: int, streams: int, window: int, payload: int
) -> tuple[list[Phase], Drain]:
    where = connection(options.server, **options.connection)
    async with where.open_async(where.targets[0]) as channel:
        stub: QueueServiceAsyncStub = queue_service_pb2_grpc.QueueServiceStub(channel)
        with Progress("enqueued", json=options.json, total=jobs) as progress:
            phase, ids = await _enqueue(stub, where.metadata, queue, jobs, payload, progress.update)
        drain = Drain(wanted=ids)
        with Progress("drained", json=options.json, total=jobs) as progress:
            drained = await _drain(stub, where.metadata, queue, streams, window, drain, progress.update)
        return [phase, drained], drain


Metadata = tuple[tuple[str, str], ...]


async def _enqueue(
    stub: "QueueServiceAsyncStub",
    metadata: Metadata,
    queue: str,
    jobs: int,
    payload: int,
    report: Callable[[int], None],
) -> tuple[Phase, set[str]]:
    body = b"x" * payload
    ids: set[str] = set()
    left = jobs
    done = rpcs = 0

    async def one_caller() -> None:
        nonlocal left, done, rpcs
        while left:
            size = min(BATCH_JOBS_MAX, left, max(1, (2 << 20) // (payload + 200)))
            left -= size
            specs = [
                job_pb2.JobSpec(
                    id=new_id(), type="bench.noop", payload=body, content_type="application/octet-stream"
                )
                for _ in range(size)
            ]
            request = queue_service_pb2.EnqueueBatchRequest(queue=queue, jobs=specs, request_id=new_id())
            answer = await stub.EnqueueBatch(request, metadata=metadata)
            ids.update(result.job_id for result in answer.results if not result.reason)
            done, rpcs = done + size, rpcs + 1
            report(done)

    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(ENQUEUE_CALLS):
            group.create_task(one_caller())
    seconds = time.perf_counter() - started
    return Phase(name="enqueue", jobs=len(ids), seconds=seconds, rpcs=rpcs), ids


async def _drain(
    stub: "QueueServiceAsyncStub",
    metadata: Metadata,
    queue: str,
    streams: int,
    window: int,
    drain: Drain,
    report: Callable[[int], None],
) -> Phase:
    started = drain.last_at = time.perf_counter()
    tasks = [
        asyncio.create_task(_claim(stub, metadata, queue, f"relay-bench-{n}", window, drain))
        for n in range(streams)
    ]
    finished = asyncio.create_task(drain.finished.wait())
    while not finished.done():
        done, _ = await asyncio.wait({finished, *tasks}, timeout=0.2, return_when=asyncio.FIRST_COMPLETED)
        report(len(drain.done))
        ended = [task for task in tasks if task in done]
        if ended and not finished.done():
            ended[0].result()  # raises what ended the stream; without an error it is a Drain
            break
        if time.perf_counter() - drain.last_at > STALL_S:
            break
    for task in (finished, *tasks):
        task.cancel()
    await asyncio.gather(finished, *tasks, return_exceptions=True)
    return Phase(name="drain", jobs=len(drain.done), seconds=drain.last_at - started, rpcs=drain.rpcs)


async def _claim(
    stub: "QueueServiceAsyncStub", metadata: Metadata, queue: str, name: str, window: int, drain: Drain
) -> None:
    """Claims until cancelled; every frame is acknowledged at once, two Acks in flight."""
    request = queue_service_pb2.ClaimRequest(
        queues=[queue_service_pb2.QueueWeight(queue=queue)], worker_id=name, max_in_flight=window
    )
    session_id, received, seq, held = "", 0, 0, 0
    pending: asyncio.Queue[queue_service_pb2.Jobs] = asyncio.Queue()

    async def one_acker() -> None:
        nonlocal seq, held
        while True:
            groups = [await pending.get()]
            size = len(groups[0].jobs)
            while size <= BATCH_JOBS_MAX - 64 and not pending.empty():
                groups.append(pending.get_nowait())
                size += len(groups[-1].jobs)
            held -= size
            seq += 1
            ids = [each.job.id for frame in groups for each in frame.jobs]
            ack = queue_service_pb2.AckRequest(
                leases=[
                    queue_service_pb2.LeaseGroup(
                        queue=queue,
                        lease_token=frame.lease_token,
                        job_ids=[each.job.id for each in frame.jobs],
                    )
                    for frame in groups
                ],
                window=queue_service_pb2.WindowReport(
                    session_id=session_id, received=received, in_flight=held, seq=seq
                ),
            )
            drain.settle(ids, list((await stub.Ack(ack, metadata=metadata)).outcomes))

    async with asyncio.TaskGroup() as group:
        ackers = [group.create_task(one_acker()) for _ in range(2)]
        async for frame in stub.Claim(request, metadata=metadata):
            drain.rpcs += 1
            if frame.HasField("started"):
                session_id = frame.started.session_id
            elif frame.HasField("jobs"):
                received += len(frame.jobs.jobs)
                held += len(frame.jobs.jobs)
                pending.put_nowait(frame.jobs)
            elif frame.HasField("drain"):
                break
        for task in ackers:
            task.cancel()
