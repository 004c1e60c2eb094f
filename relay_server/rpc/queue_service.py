"""QueueService: what producers and workers call."""

import asyncio
from collections.abc import Callable
from typing import Any

import grpc

from relay.v1 import queue_service_pb2, queue_service_pb2_grpc
from relay_server import errors, limits
from relay_server.claims.streams import ClaimStreams
from relay_server.claims.windows import Windows
from relay_server.engine import Names, Transitions
from relay_server.model import Acked, Enqueued, Extended, Extension, Lease
from relay_server.observability.tracing import carry, trace_context
from relay_server.rpc import convert, parse_job, parse_worker
from relay_server.rpc.ids import uuid_text
from relay_server.rpc.validate import Checks
from relay_server.security.principals import caller
from relay_server.words import EnqueueWord, LeaseWord

pb = queue_service_pb2
Context = grpc.aio.ServicerContext[Any, Any]


class QueueService(queue_service_pb2_grpc.QueueServiceServicer):
    """Parses, asks the engine, replies."""

    def __init__(
        self,
        transitions: Transitions,
        names: Names,
        streams: ClaimStreams,
        windows: Windows,
        *,
        payload_bytes_max: int,
        on_acked: Callable[[str, list[Acked]], None],
    ) -> None:
        self._transitions = transitions
        self._names = names
        self._streams = streams
        self._windows = windows
        self._payload_bytes_max = payload_bytes_max
        self._on_acked = on_acked

    async def Enqueue(self, request: pb.EnqueueRequest, context: Context) -> pb.EnqueueResponse:
        checks = Checks()
        queue = checks.queue(request.queue)
        named = bool(request.job.id)
        carry(request.job.headers, trace_context(context.invocation_metadata() or ()))
        job = parse_job.new_job(
            checks,
            request.job,
            "job",
            stamp=parse_job.enqueue_stamp(),
            payload_bytes_max=self._payload_bytes_max,
        )
        checks.done()
        # A caller that named the job repeats the call under that id. The job may be done and gone by then, so it is the
        # request that must be remembered.
        (answer,) = await self._transitions.enqueue(
            queue, [job], request_id=job.id if named else b"", owner=caller.get().owner
        )
        _raise_refusal(queue, answer)
        return pb.EnqueueResponse(
            job_id=uuid_text(answer.job_id), deduplicated=answer.word is EnqueueWord.DUPLICATE
        )

    async def EnqueueBatch(
        self, request: pb.EnqueueBatchRequest, context: Context
    ) -> pb.EnqueueBatchResponse:
        checks = Checks()
        queue = checks.queue(request.queue)
        checks.text(request.request_id, "request_id", bytes_max=limits.REQUEST_ID_BYTES_MAX)
        parse_worker.require_jobs(checks, request.jobs)
        checks.done()
        trace = trace_context(context.invocation_metadata() or ())
        jobs = parse_job.batch(checks, queue, request, trace=trace, payload_bytes_max=self._payload_bytes_max)
        checks.done()
        answers = await self._transitions.enqueue(
            queue, jobs, request_id=request.request_id.encode(), owner=caller.get().owner
        )
        if answers[0].word is EnqueueWord.REUSED:
            within_s = limits.RETRY_HORIZON_MS // 1000
            text = f"was used within the last {within_s} s for a batch of another size; mint a new one"
            raise errors.InvalidField([("request_id", text)])
        return pb.EnqueueBatchResponse(results=[convert.enqueue_result(answer) for answer in answers])

    async def Claim(self, request: pb.ClaimRequest, context: Context) -> None:  # type: ignore[override]
        checks = Checks()
        terms = parse_worker.terms(checks, request)
        checks.text(request.session_id, "session_id", bytes_max=limits.SESSION_ID_BYTES_MAX)
        checks.number(request.in_flight, "in_flight", 0, limits.IN_FLIGHT_REPORT_MAX)
        held = parse_worker.leases(checks, request.leases)
        checks.done()
        principal = caller.get()
        await self._names.enter_all(terms.queues, principal.owner)
        session = self._streams.open(request.session_id, principal.name, terms, request.in_flight)
        await self._streams.serve(session, context.write, _by_queue(held))

    async def Ack(self, request: pb.AckRequest, context: Context) -> pb.AckResponse:
        checks = Checks()
        groups = parse_worker.leases(checks, request.leases)
        if not groups:
            checks.add("leases", f"must name 1 to {limits.BATCH_JOBS_MAX} jobs in all, names none")
        report = parse_worker.report(checks, request.window)
        checks.done()
        answers = await asyncio.gather(*(self._transitions.ack(queue, leases) for queue, leases in groups))
        outcomes: list[pb.LeaseOutcome.ValueType] = []
        for (queue, _), acked in zip(groups, answers, strict=True):
            self._on_acked(queue, acked)
            outcomes += [convert.LEASE_OUTCOMES[answer.word] for answer in acked]
        settled = [lease for _, leases in groups for lease in leases]
        await self._windows.after(caller.get().name, report, settled, ended=settled)
        return pb.AckResponse(outcomes=outcomes)

    async def Nack(self, request: pb.NackRequest, context: Context) -> pb.NackResponse:
        checks = Checks()
        parse_worker.require_jobs(checks, request.jobs)
        by_queue = parse_worker.nacked(checks, request.jobs)
        report = parse_worker.report(checks, request.window)
        checks.done()
        answers = await asyncio.gather(
            *(self._transitions.nack(queue, [job for _, job in jobs]) for queue, jobs in by_queue.items())
        )
        results = [pb.NackResult()] * len(request.jobs)
        settled: list[Lease] = []
        for jobs, nacked in zip(by_queue.values(), answers, strict=True):
            for (i, job), answer in zip(jobs, nacked, strict=True):
                results[i] = convert.nack_result(answer)
                settled.append(Lease(job.id, job.token))
        await self._windows.after(caller.get().name, report, settled, ended=settled)
        return pb.NackResponse(results=results)

    async def Extend(self, request: pb.ExtendRequest, context: Context) -> pb.ExtendResponse:
        checks = Checks()
        groups = parse_worker.leases(checks, request.leases)
        lease_ms = parse_worker.lease_of(checks, request)
        progress = parse_worker.progress(checks, request)
        report = parse_worker.report(checks, request.window)
        checks.done()
        answers = await asyncio.gather(
            *(
                self._transitions.extend(queue, _extensions(leases, progress), lease_ms=lease_ms)
                for queue, leases in groups
            )
        )
        named = [lease for _, leases in groups for lease in leases]
        extended = [answer for group in answers for answer in group]
        await self._windows.after(caller.get().name, report, named, ended=_gone(named, extended))
        return pb.ExtendResponse(results=map(convert.extend_result, extended))


def _raise_refusal(queue: str, answer: Enqueued) -> None:
    if answer.word is EnqueueWord.MISMATCH:
        holder = uuid_text(answer.job_id)
        raise errors.IdempotencyMismatch(
            f"idempotency_key is held by job {holder}, which has another type, payload or content type",
            metadata={"job_id": holder, "field": "job.idempotency_key"},
        )
    if answer.word is EnqueueWord.FULL:
        raise errors.QueueFull(
            f"queue {queue} holds as many jobs as its max_jobs setting allows; work them off or raise max_jobs",
            metadata={"subject": f"queue:{queue}"},
            retry_after_ms=1000,
        )


def _by_queue(groups: list[tuple[str, list[Lease]]]) -> dict[str, list[Lease]]:
    leases: dict[str, list[Lease]] = {}
    for queue, group in groups:
        leases.setdefault(queue, []).extend(group)
    return leases


def _extensions(leases: list[Lease], progress: dict[bytes, tuple[float, str]]) -> list[Extension]:
    return [Extension(id_, token, *progress.get(id_, (-1.0, ""))) for id_, token in leases]


def _gone(leases: list[Lease], extended: list[Extended]) -> list[Lease]:
    """The leases that the worker no longer has."""
    pairs = zip(leases, extended, strict=True)
    return [lease for lease, answer in pairs if answer.word in {LeaseWord.LEASE_LOST, LeaseWord.GONE}]
