"""Makes EnqueueBatch requests, and a result for each job of an answer or a failure. No I/O, shared by both stacks."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from types import MappingProxyType
from typing import Final

import grpc

from relay.v1 import errors_pb2, job_pb2, queue_service_pb2
from relay_client import tracing
from relay_client.errors import (
    IdempotencyMismatch,
    InvalidField,
    QueueFull,
    RelayError,
    TooLarge,
    Violation,
    from_reason,
)
from relay_client.ids import new_id
from relay_client.jobs import Enqueued, JobLike, as_spec, to_wire
from relay_client.limits import BATCH_BYTES_MAX, BATCH_JOBS_MAX

# The contract allows 3 MiB with everything; the rest is room for the queue's name and the request id.
BULK_BYTES_MAX: Final = BATCH_BYTES_MAX - 1024
# Smaller, because somebody waits for each of these jobs.
COALESCED_BYTES_MAX: Final = 2 << 20
# Calls in flight at once during enqueue_batch: enough to hide the round trip.
BULK_CALLS_MAX: Final = 4

Result = Enqueued | RelayError
_FRAMING_BYTES: Final = 5  # tag and length of a job inside the request
_JOB_PATH = re.compile(r"jobs\[(\d+)\]\.?")
_JOB_ERRORS: Final = (InvalidField, TooLarge, QueueFull, IdempotencyMismatch)


def size_of(job: job_pb2.JobSpec) -> int:
    """Bytes the job takes inside a request."""
    return job.ByteSize() + _FRAMING_BYTES


def to_request(queue: str, jobs: Sequence[job_pb2.JobSpec]) -> queue_service_pb2.EnqueueBatchRequest:
    """A batch with a request id of its own; repeat exactly this message, so that a repeat is recognised."""
    return queue_service_pb2.EnqueueBatchRequest(queue=queue, jobs=jobs, request_id=new_id())


def to_results(
    response: queue_service_pb2.EnqueueBatchResponse, jobs: Sequence[job_pb2.JobSpec]
) -> list[Result]:
    """One result for each job; RelayError when the server answered another number than was asked."""
    if len(response.results) != len(jobs):
        raise RelayError(
            f"the server answered {len(response.results)} results for {len(jobs)} jobs",
            code=grpc.StatusCode.INTERNAL,
        )
    return [_to_result(result, job) for result, job in zip(response.results, jobs, strict=True)]


def _to_result(result: queue_service_pb2.EnqueueResult, job: job_pb2.JobSpec) -> Result:
    if result.reason == errors_pb2.ERROR_REASON_UNSPECIFIED:
        return Enqueued(result.job_id, result.deduplicated)
    if result.reason == errors_pb2.ERROR_REASON_IDEMPOTENCY_MISMATCH:
        message = (
            f"idempotency key {job.idempotency_key!r} is held by job {result.job_id} with another type, payload or "
            "content type"
        )
    elif result.reason == errors_pb2.ERROR_REASON_QUEUE_FULL:
        message = "the queue holds as many jobs as its max_jobs setting allows"
    else:
        message = f"job {job.id} was refused"
    return from_reason(result.reason, message, {"job_id": result.job_id})


def sort_out(error: RelayError, count: int) -> tuple[dict[int, RelayError], list[list[int]]]:
    """The jobs that a refused batch of `count` jobs was refused for, and the groups to send again.

    Raises `error` when it is about the call and not about a job of it.
    """
    if count == 1:
        if isinstance(error, _JOB_ERRORS):
            return {0: error}, []
        raise error
    if isinstance(error, InvalidField) and error.violations:
        blamed = _blamed(error, count)
        if not blamed:
            raise error
        rest = [i for i in range(count) if i not in blamed]
        return blamed, [rest] if rest else []
    if isinstance(error, InvalidField | TooLarge):
        # The error names no job: halve the batch until the culprit is alone.
        middle = count // 2
        return {}, [list(range(middle)), list(range(middle, count))]
    raise error


def _blamed(error: InvalidField, count: int) -> dict[int, RelayError]:
    found: dict[int, list[Violation]] = {}
    for violation in error.violations:
        match = _JOB_PATH.match(violation.field)
        if match and int(match[1]) < count:
            own = Violation(
                _JOB_PATH.sub("job.", violation.field, count=1).rstrip("."), violation.description
            )
            found.setdefault(int(match[1]), []).append(own)
    return {
        index: InvalidField(
            "; ".join(f"{v.field}: {v.description}" for v in violations),
            code=error.code,
            reason=error.reason,
            metadata=error.metadata,
            violations=violations,
        )
        for index, violations in found.items()
    }


def failures(error: RelayError, count: int) -> list[Result]:
    """The same failure for every job, each its own object: raising one in two threads would mix their tracebacks."""
    return [copy(error) for _ in range(count)]


class Chunk:
    """Jobs of enqueue_batch that go into one call, with their places in the caller's order."""

    __slots__ = ("jobs", "places", "size")

    def __init__(self) -> None:
        self.jobs: list[job_pb2.JobSpec] = []
        self.places: list[int] = []
        self.size = 0

    def has_room(self, size: int) -> bool:
        return not self.jobs or (len(self.jobs) < BATCH_JOBS_MAX and self.size + size <= BULK_BYTES_MAX)

    def add(self, place: int, job: job_pb2.JobSpec, size: int) -> None:
        self.jobs.append(job)
        self.places.append(place)
        self.size += size


class Bulk:
    """The course of one enqueue_batch: cuts jobs into chunks and collects their results.

    The first call that fails as a whole stops the run: its jobs and all after it carry that error.
    `headers` are the trace context that all its jobs carry.
    """

    def __init__(self, headers: Mapping[str, str] = MappingProxyType({})) -> None:
        self._headers = headers
        self._results: list[Result | None] = []
        self._stopped: RelayError | None = None
        self.answered = 0

    def chunks(self, jobs: Iterable[JobLike]) -> Iterator[Chunk]:
        """Cuts lazily, so that a generator of millions is never held in whole."""
        chunk = Chunk()
        for place, job in enumerate(jobs):
            self._results.append(None)
            if self._stopped is not None:
                self._results[place] = copy(self._stopped)
                continue
            try:
                wire = to_wire(as_spec(job))
            except (TypeError, ValueError) as error:
                # Raising would hide the results of the jobs that were sent before.
                self._results[place] = InvalidField(str(error), code=grpc.StatusCode.INVALID_ARGUMENT)
                continue
            except TooLarge as error:
                self._results[place] = error
                continue
            tracing.add(wire.headers, self._headers)
            size = size_of(wire)
            if not chunk.has_room(size):
                yield chunk
                chunk = Chunk()
            chunk.add(place, wire, size)
        if chunk.jobs:
            yield chunk

    def may_send(self, chunk: Chunk) -> bool:
        """Whether to send this chunk; after a stop its jobs are given that error instead."""
        if self._stopped is not None:
            self._fill(chunk, failures(self._stopped, len(chunk.jobs)))
        return self._stopped is None

    def settle(self, chunk: Chunk, outcome: list[Result] | RelayError) -> None:
        """Records the results of a chunk, or the failure of its call."""
        if isinstance(outcome, RelayError):
            self._stopped = self._stopped or outcome
            outcome = failures(outcome, len(chunk.jobs))
        self._fill(chunk, outcome)

    def results(self) -> list[Result]:
        """The result of each job, in the caller's order, once every chunk is settled."""
        return [result for result in self._results if result is not None]

    def _fill(self, chunk: Chunk, results: list[Result]) -> None:
        for place, result in zip(chunk.places, results, strict=True):
            self._results[place] = result
        self.answered += len(results)
