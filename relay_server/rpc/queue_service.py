"""QueueService: what producers and workers call."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import grpc

from relay.v1 import queue_service_pb2, queue_service_pb2_grpc
from relay_server import errors, limits
from relay_server.claims.session import Terms
from relay_server.claims.streams import ClaimStreams
from relay_server.claims.windows import Windows
from relay_server.engine import Engine
from relay_server.model import Acked, Enqueued, EnqueueWord, Extension, Lease, LeaseWord, NackedJob
from relay_server.observability.tracing import carry, trace_context
from relay_server.rpc import convert
from relay_server.rpc.validate import Checks
from relay_server.security.principals import caller

pb = queue_service_pb2
Context = grpc.aio.ServicerContext[Any, Any]


class QueueService(queue_service_pb2_grpc.QueueServiceServicer):
    """Parses, asks the engine, replies."""

    def __init__(
        self,
        engine: Engine,
        streams: ClaimStreams,
        windows: Windows,
        *,
        payload_bytes_max: int,
        on_acked: Callable[[str, list[Acked]], None],
    ) -> None:
        self._engine = engine
        self._streams = streams
        self._windows = windows
        self._payload_bytes_max = payload_bytes_max
        self._on_acked = on_acked

    async def Enqueue(self, request: pb.EnqueueRequest, context: Context) -> pb.EnqueueResponse:
        checks = Checks()
        queue = checks.queue(request.queue)
        named = bool(request.job.id)
        carry(request.job.headers, trace_context(context.invocation_metadata() or ()))
        job = convert.new_job(
            checks,
            request.job,
            "job",
            stamp=convert.enqueue_stamp(),
            payload_bytes_max=self._payload_bytes_max,
        )
        checks.done()
        (answer,) = await self._engine.enqueue(
            queue, [job], request_id=job.id if named else b"", owner=caller.get().owner
        )
        _raise_refusal(queue, answer)
        return pb.EnqueueResponse(
            job_id=convert.uuid_text(answer.job_id), deduplicated=answer.word is EnqueueWord.DUPLICATE
        )

    async def EnqueueBatch(
        self, request: pb.EnqueueBatchRequest, context: Context
    ) -> pb.EnqueueBatchResponse:
        checks = Checks()
        queue = checks.queue(request.queue)
        checks.text(request.request_id, "request_id", bytes_max=limits.REQUEST_ID_BYTES_MAX)
        _require_jobs(checks, request.jobs)
        checks.done()
        stamp, size_max = convert.enqueue_stamp(), self._payload_bytes_max
        if trace := trace_context(context.invocation_metadata() or ()):
            for spec in request.jobs:
                carry(spec.headers, trace)
        if request.request_id:
            for i, spec in enumerate(request.jobs):
                spec.id = spec.id or convert.derived_id(queue, request.request_id, i)
        jobs = [
            convert.new_job(checks, spec, f"jobs[{i}]", stamp=stamp, payload_bytes_max=size_max)
            for i, spec in enumerate(request.jobs)
        ]
        checks.done()
        answers = await self._engine.enqueue(
            queue, jobs, request_id=request.request_id.encode(), owner=caller.get().owner
        )
        if answers[0].word is EnqueueWord.REUSED:
            raise errors.InvalidField(
                [("request_id", "was used within the last 60 s for a batch of another size; mint a new one")]
            )
        return pb.EnqueueBatchResponse(results=[convert.enqueue_result(answer) for answer in answers])

    async def Claim(self, request: pb.ClaimRequest, context: Context) -> None:  # type: ignore[override]
        checks = Checks()
        terms = _terms(checks, request)
        checks.text(request.session_id, "session_id", bytes_max=limits.SESSION_ID_BYTES_MAX)
        checks.number(request.in_flight, "in_flight", 0, limits.IN_FLIGHT_TOLD_MAX)
        held = _leases(checks, request.leases)
        checks.done()
        principal = caller.get()
        await self._engine.enter(terms.queues, owner=principal.owner)
        session = self._streams.open(request.session_id, principal.name, terms, request.in_flight)
        await self._streams.serve(session, context.write, _by_queue(held))

    async def Ack(self, request: pb.AckRequest, context: Context) -> pb.AckResponse:
        checks = Checks()
        leases = _leases(checks, request.leases)
        if not leases:
            checks.add("leases", f"must name 1 to {limits.BATCH_JOBS_MAX} jobs in all, names none")
        self._windows.check(checks, request)
        checks.done()
        answers = await asyncio.gather(*(self._engine.ack(queue, group) for queue, group in leases))
        outcomes: list[pb.LeaseOutcome.ValueType] = []
        for (queue, group), acked in zip(leases, answers, strict=True):
            self._windows.heard(group)
            self._on_acked(queue, acked)
            self._windows.settled(request, group)
            outcomes += [convert.LEASE_OUTCOMES[answer.word] for answer in acked]
        await self._windows.restated(request)
        return pb.AckResponse(outcomes=outcomes)

    async def Nack(self, request: pb.NackRequest, context: Context) -> pb.NackResponse:
        checks = Checks()
        _require_jobs(checks, request.jobs)
        by_queue: dict[str, list[tuple[int, NackedJob]]] = {}
        for i, entry in enumerate(request.jobs):
            by_queue.setdefault(entry.queue, []).append((i, _nacked(checks, entry, f"jobs[{i}]")))
        self._windows.check(checks, request)
        checks.done()
        answers = await asyncio.gather(
            *(self._engine.nack(queue, [job for _, job in entries]) for queue, entries in by_queue.items())
        )
        results = [pb.NackResult() for _ in request.jobs]
        for entries, nacked in zip(by_queue.values(), answers, strict=True):
            for (i, _), answer in zip(entries, nacked, strict=True):
                result = results[i]
                result.outcome = convert.LEASE_OUTCOMES[answer.word]
                if answer.word is LeaseWord.OK:
                    result.state = answer.state  # type: ignore[assignment]
                    result.delay.CopyFrom(convert.duration(answer.delay_ms))
            given_back = [Lease(job.id, job.token) for _, job in entries]
            self._windows.heard(given_back)
            self._windows.settled(request, given_back)
        await self._windows.restated(request)
        return pb.NackResponse(results=results)

    async def Extend(self, request: pb.ExtendRequest, context: Context) -> pb.ExtendResponse:
        checks = Checks()
        leases = _leases(checks, request.leases)
        lease_ms = 0
        if request.HasField("lease"):
            lease_ms = checks.duration(
                request.lease, "lease", low_ms=limits.LEASE_MS_MIN, high_ms=limits.LEASE_MS_MAX
            )
        progress = _progress(checks, request)
        self._windows.check(checks, request)
        checks.done()
        answers = await asyncio.gather(
            *(
                self._engine.extend(
                    queue,
                    [Extension(id_, token, *progress.get(id_, (-1.0, ""))) for id_, token in group],
                    lease_ms=lease_ms,
                )
                for queue, group in leases
            )
        )
        response = pb.ExtendResponse()
        for (_, group), extended in zip(leases, answers, strict=True):
            self._windows.heard(group)
            gone = []
            for lease, answer in zip(group, extended, strict=True):
                response.results.add(
                    outcome=convert.LEASE_OUTCOMES[answer.word],
                    lease_remaining=convert.duration(answer.left_ms),
                )
                if answer.word in {LeaseWord.LEASE_LOST, LeaseWord.GONE}:
                    gone.append(lease)
            self._windows.settled(request, gone)
        await self._windows.restated(request)
        return response


def _raise_refusal(queue: str, answer: Enqueued) -> None:
    if answer.word is EnqueueWord.MISMATCH:
        holder = convert.uuid_text(answer.job_id)
        raise errors.IdempotencyMismatch(
            f"idempotency_key is held by job {holder}, which has another type or payload",
            metadata={"job_id": holder, "field": "job.idempotency_key"},
        )
    if answer.word is EnqueueWord.FULL:
        raise errors.QueueFull(
            f"queue {queue} holds as many jobs as its max_jobs setting allows; work them off or raise max_jobs",
            metadata={"subject": f"queue:{queue}"},
            retry_after_ms=1000,
        )


def _terms(checks: Checks, request: pb.ClaimRequest) -> Terms:
    if not request.queues:
        checks.add("queues", f"must be 1 to {limits.QUEUES_PER_CLAIM_MAX} queues, has none")
    queues: dict[str, int] = {}
    for i, entry in enumerate(request.queues):
        checks.queue(entry.queue, f"queues[{i}].queue")
        checks.number(entry.weight, f"queues[{i}].weight", 0, limits.WEIGHT_MAX)
        if entry.queue in queues:
            checks.add(f"queues[{i}].queue", f"{entry.queue} is named twice")
        queues[entry.queue] = entry.weight or 1
    checks.text(request.worker_id, "worker_id", bytes_max=limits.WORKER_ID_BYTES_MAX, required=True)
    checks.text(request.client_version, "client_version", bytes_max=limits.CLIENT_VERSION_BYTES_MAX)
    checks.number(request.max_in_flight, "max_in_flight", 1, limits.IN_FLIGHT_MAX)
    lease_ms, grace_ms = limits.LEASE_MS_DEFAULT, 0
    if request.HasField("lease"):
        lease_ms = checks.duration(
            request.lease, "lease", low_ms=limits.LEASE_MS_MIN, high_ms=limits.LEASE_MS_MAX
        )
    if request.HasField("disconnect_grace"):
        grace_ms = checks.duration(
            request.disconnect_grace, "disconnect_grace", high_ms=limits.DISCONNECT_GRACE_MS_MAX
        )
    return Terms(
        worker_id=request.worker_id,
        client_version=request.client_version,
        queues=queues,
        max_in_flight=request.max_in_flight,
        lease_ms=lease_ms,
        grace_ms=grace_ms,
    )


def _require_jobs(checks: Checks, jobs: Sequence[object]) -> None:
    if not jobs:
        checks.add("jobs", f"must be 1 to {limits.BATCH_JOBS_MAX} jobs, has none")


def _leases(checks: Checks, groups: Iterable[pb.LeaseGroup]) -> list[tuple[str, list[Lease]]]:
    """(queue, leases) for each group, in the order of the request."""
    parsed: list[tuple[str, list[Lease]]] = []
    for i, group in enumerate(groups):
        path = f"leases[{i}]"
        queue = checks.queue(group.queue, f"{path}.queue")
        token = checks.token(group.lease_token, f"{path}.lease_token")
        if not group.job_ids:
            checks.add(f"{path}.job_ids", "is required")
        parsed.append((queue, [Lease(checks.job_id(id_, f"{path}.job_ids"), token) for id_ in group.job_ids]))
    return parsed


def _by_queue(groups: list[tuple[str, list[Lease]]]) -> dict[str, list[Lease]]:
    leases: dict[str, list[Lease]] = {}
    for queue, group in groups:
        leases.setdefault(queue, []).extend(group)
    return leases


def _nacked(checks: Checks, entry: pb.NackedJob, path: str) -> NackedJob:
    checks.queue(entry.queue, f"{path}.queue")
    kind = convert.NACK_WORDS.get(entry.kind)
    if kind is None:
        checks.add(f"{path}.kind", "must be RETRY, DEAD, RELEASE or THROTTLED")
        kind = convert.NACK_WORDS[pb.NACK_KIND_RETRY]
    after_ms = -1
    if entry.HasField("after"):
        after_ms = checks.duration(entry.after, f"{path}.after", high_ms=limits.DELAY_MS_MAX)
    error = entry.error
    checks.text(error.type, f"{path}.error.type", bytes_max=limits.ERROR_TYPE_BYTES_MAX)
    size = len(error.message.encode()) + len(error.stack.encode())
    if size > limits.ERROR_BYTES_MAX:
        checks.add(
            f"{path}.error",
            f"message and stack must be at most {limits.ERROR_BYTES_MAX} bytes together, have {size}",
        )
    return NackedJob(
        checks.job_id(entry.job_id, f"{path}.job_id"),
        checks.token(entry.lease_token, f"{path}.lease_token"),
        kind,
        after_ms,
        error.type,
        error.SerializeToString() if entry.HasField("error") else b"",
    )


def _progress(checks: Checks, request: pb.ExtendRequest) -> dict[bytes, tuple[float, str]]:
    progress: dict[bytes, tuple[float, str]] = {}
    for i, entry in enumerate(request.progress):
        path = f"progress[{i}]"
        checks.number(entry.fraction, f"{path}.fraction", 0, 1)
        checks.text(entry.note, f"{path}.note", bytes_max=limits.NOTE_BYTES_MAX)
        progress[checks.job_id(entry.job_id, f"{path}.job_id")] = (entry.fraction, entry.note)
    return progress
