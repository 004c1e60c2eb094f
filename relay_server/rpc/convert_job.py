"""Between the contract's messages and the server's own data: jobs as operators see them."""

import asyncio
from collections.abc import Sequence

from google.protobuf.message import DecodeError

from relay.v1 import admin_service_pb2 as pb
from relay.v1 import dead_letter_service_pb2, job_pb2
from relay_server.model import DeadGroup, StoredJob
from relay_server.rpc.convert import timestamp
from relay_server.rpc.ids import uuid_text
from relay_server.words import DeadReason, FailureKind, State

PREVIEW_BYTES = 256
_MESSAGE_TAG = 2 << 3 | 2  # JobError.message on the wire
_SUMMARIES_IN_A_ROW = 50  # a page of 500 would hold up the other calls of this server


def parse_job(stored: StoredJob) -> job_pb2.Job | None:
    """The job as it was enqueued; None when its body was left out or is damaged."""
    if not stored.body:
        return None
    try:
        job = job_pb2.Job.FromString(stored.body)
    except DecodeError:  # the audit reports it; a listing goes on
        return None
    job.id = uuid_text(stored.id)
    return job


def job_summary(queue: str, stored: StoredJob, *, priority_step_ms: int) -> job_pb2.JobSummary:
    record, job = stored.record, parse_job(stored)
    at_ms = stored.at_ms
    if stored.state is State.READY:  # the index holds its place in the order
        at_ms += record.priority * priority_step_ms
    summary = job_pb2.JobSummary(
        id=uuid_text(stored.id),
        queue=queue,
        type=record.type,
        state=_state(stored.state),
        priority=record.priority,
        attempt=record.attempt,
        max_attempts=record.max_attempts,
        expirations=record.expirations,
        state_time=timestamp(max(0, at_ms)),
        worker_id=record.worker_id,
        dead_reason=_dead_reason(record.reason),
        error_type=record.error_type,
        error_message=_last_message(stored),
        payload_bytes=record.body_bytes,
        cancelled=record.cancelled,
        progress=round(record.progress, 6),
        progress_note=record.note,
    )
    if job is not None:
        summary.payload_bytes = len(job.payload)
        summary.payload_preview = job.payload[:PREVIEW_BYTES]
        summary.content_type = job.content_type
        summary.enqueue_time.CopyFrom(job.enqueue_time)
    return summary


async def summaries(
    queue: str, jobs: Sequence[StoredJob], *, priority_step_ms: int = 0
) -> list[job_pb2.JobSummary]:
    """The rows of a page. Lets other calls run in between."""
    rows: list[job_pb2.JobSummary] = []
    for i, job in enumerate(jobs):
        if i % _SUMMARIES_IN_A_ROW == _SUMMARIES_IN_A_ROW - 1:
            await asyncio.sleep(0)
        rows.append(job_summary(queue, job, priority_step_ms=priority_step_ms))
    return rows


def _state(state: State) -> job_pb2.JobState.ValueType:
    return job_pb2.JobState.ValueType(state)


def _dead_reason(reason: DeadReason) -> job_pb2.DeadReason.ValueType:
    return job_pb2.DeadReason.ValueType(reason)


def _failure_kind(kind: FailureKind) -> job_pb2.FailureKind.ValueType:
    return job_pb2.FailureKind.ValueType(kind)


def _last_message(stored: StoredJob) -> str:
    if not stored.failures:
        return ""
    return _message_start(stored.failures[-1].error).decode(errors="ignore")


def _message_start(raw: bytes) -> bytes:
    """The start of `message` in a serialized JobError, even a cut one: its fields come in order, type first."""
    at = 0
    while at < len(raw) and raw[at] <= _MESSAGE_TAG:
        size, start = _varint(raw, at + 1)
        if raw[at] == _MESSAGE_TAG:
            return raw[start : start + min(size, PREVIEW_BYTES)]
        at = start + size
    return b""


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(raw):
        value |= (raw[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if raw[at - 1] < 0x80:
            break
    return value, at


def _job_error(raw: bytes) -> job_pb2.JobError:
    try:
        return job_pb2.JobError.FromString(raw)
    except DecodeError:
        return job_pb2.JobError()


def whole_job(queue: str, stored: StoredJob, *, priority_step_ms: int) -> pb.GetJobResponse:
    reply = pb.GetJobResponse(
        summary=job_summary(queue, stored, priority_step_ms=priority_step_ms),
        job=parse_job(stored) or job_pb2.Job(id=uuid_text(stored.id), type=stored.record.type),
        epoch=stored.record.epoch,
    )
    for failure in stored.failures:
        entry = reply.failures.add(
            attempt=failure.attempt,
            kind=_failure_kind(failure.kind),
            time=timestamp(failure.at_ms),
            worker_id=failure.worker_id,
        )
        if failure.error:
            entry.error.CopyFrom(_job_error(failure.error))
    return reply


def dead_group(group: DeadGroup) -> dead_letter_service_pb2.DeadLetterGroup:
    return dead_letter_service_pb2.DeadLetterGroup(
        type=group.type,
        error_type=group.error_type,
        count=group.jobs,
        first_time=timestamp(group.first_ms),
        last_time=timestamp(group.last_ms),
    )
