"""Between the contract's messages and the server's own data, for what producers and workers use."""

import hashlib
import os
import time
from functools import lru_cache
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from relay.v1 import errors_pb2, job_pb2, queue_service_pb2
from relay_server import errors, limits
from relay_server.engine import record
from relay_server.model import Enqueued, EnqueueWord, Extended, LeaseWord, Nacked, NackWord, NewJob
from relay_server.rpc.validate import Checks

_Q = queue_service_pb2
LEASE_OUTCOMES = {
    LeaseWord.OK: _Q.LEASE_OUTCOME_OK,
    LeaseWord.LEASE_LOST: _Q.LEASE_OUTCOME_LEASE_LOST,
    LeaseWord.GONE: _Q.LEASE_OUTCOME_GONE,
    LeaseWord.CANCELLED: _Q.LEASE_OUTCOME_CANCELLED,
}
NACK_WORDS = {
    _Q.NACK_KIND_RETRY: NackWord.RETRY,
    _Q.NACK_KIND_DEAD: NackWord.DEAD,
    _Q.NACK_KIND_RELEASE: NackWord.RELEASE,
    _Q.NACK_KIND_THROTTLED: NackWord.THROTTLED,
}
_NO_PLAN = record.pack_plan(0, record.NOW, 0)
_plain_tail = lru_cache(maxsize=4096)(
    lambda job_type, body_bytes: record.pack_tail(job_type=job_type, body_bytes=body_bytes)
)


def uuid_text(raw: bytes) -> str:
    """The canonical text of a UUID's 16 bytes."""
    h = raw.hex()
    return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"


class _Minter:
    """Mints UUIDv7s that rise, also within a millisecond: jobs ready at the same time run in the order of their ids."""

    def __init__(self) -> None:
        self._last = 0  # ms in the high bits, 12 bits of a counter that starts anew with each ms

    def __call__(self) -> bytes:
        """A UUIDv7 for a job whose producer sent none."""
        self._last = max(self._last + 1, time.time_ns() // 1_000_000 << 12)
        ms, number = divmod(self._last, 1 << 12)
        raw = bytearray(ms.to_bytes(6, "big") + (0x7000 | number).to_bytes(2, "big") + os.urandom(8))
        raw[8] = 0x80 | raw[8] & 0x3F
        return bytes(raw)


mint_id = _Minter()


def derived_id(queue: str, request_id: str, number: int) -> str:
    """The id of a job of a named batch whose producer sent none: the same for a repeat, and rising in the batch."""
    digest = hashlib.blake2b(f"{queue}\0{request_id}".encode(), digest_size=14).digest()
    raw = bytearray(digest[:6] + (0x8000 | number).to_bytes(2, "big") + digest[6:])
    raw[8] = 0x80 | raw[8] & 0x3F
    return uuid_text(bytes(raw))


def enqueue_stamp() -> bytes:
    """What the server adds to a stored job: when it was accepted. Appended to a serialized JobSpec it makes a Job."""
    job = job_pb2.Job()
    job.enqueue_time.GetCurrentTime()
    return job.SerializeToString()


def new_job(
    checks: Checks, spec: job_pb2.JobSpec, field: str, *, stamp: bytes, payload_bytes_max: int
) -> NewJob:
    """A checked job. The stored body is the spec itself, without what the engine keeps elsewhere, and the stamp.

    Takes `spec` over: it is changed.
    """
    job_id = checks.job_id(spec.id, f"{field}.id") if spec.id else mint_id()
    spec.ClearField("id")
    job_type = checks.text(spec.type, f"{field}.type", bytes_max=limits.TYPE_BYTES_MAX, required=True)
    if len(spec.payload) > payload_bytes_max:
        raise errors.TooLarge(
            f"{field}.payload: must be at most {payload_bytes_max} bytes, has {len(spec.payload)}; "
            "store it elsewhere and enqueue where it is"
        )
    priority = spec.priority
    if priority:
        priority = checks.number(priority, f"{field}.priority", -limits.PRIORITY_MAX, limits.PRIORITY_MAX)
    plan = _plan(checks, spec, field, priority)
    if _is_plain(spec):
        body = spec.SerializeToString() + stamp
        return NewJob(job_id, plan, _plain_tail(job_type, len(body)), body)
    _check_texts(checks, spec, field)
    retry = _retry(checks, spec.retry, f"{field}.retry")
    max_runtime_ms = checks.duration(
        spec.max_runtime, f"{field}.max_runtime", high_ms=limits.MAX_RUNTIME_MS_MAX
    )
    expires_ms = 0
    if spec.HasField("expires_at"):
        expires_ms = checks.timestamp(spec.expires_at, f"{field}.expires_at", high_ms=_year_ahead())
    window_ms = limits.WINDOW_MS_DEFAULT
    if spec.HasField("idempotency_window"):
        window_ms = checks.duration(
            spec.idempotency_window,
            f"{field}.idempotency_window",
            low_ms=limits.WINDOW_MS_MIN,
            high_ms=limits.WINDOW_MS_MAX,
        )
    content_hash = _content_hash(spec) if spec.idempotency_key else b""
    body = spec.SerializeToString() + stamp
    tail = record.pack_tail(
        job_type=job_type,
        body_bytes=len(body),
        priority=priority,
        max_runtime_ms=max_runtime_ms,
        expires_ms=expires_ms,
        **retry,
    )
    return NewJob(job_id, plan, tail, body, spec.idempotency_key, window_ms, content_hash)


def _is_plain(spec: job_pb2.JobSpec) -> bool:
    return not (
        spec.headers
        or spec.priority
        or spec.idempotency_key
        or spec.content_type
        or spec.HasField("retry")
        or spec.HasField("max_runtime")
        or spec.HasField("expires_at")
        or spec.HasField("idempotency_window")
        or len(spec.type) > limits.TYPE_BYTES_MAX // 4
    )


def _plan(checks: Checks, spec: job_pb2.JobSpec, field: str, priority: int) -> bytes:
    schedule = spec.WhichOneof("schedule")
    if schedule is None and not priority:
        return _NO_PLAN
    kind, ms = record.NOW, 0
    if schedule == "delay":
        kind, ms = (
            record.DELAY,
            checks.duration(spec.delay, f"{field}.delay", high_ms=limits.DELAY_MS_MAX),
        )
    elif schedule == "run_at":
        kind, ms = (
            record.RUN_AT,
            checks.timestamp(spec.run_at, f"{field}.run_at", high_ms=_year_ahead()),
        )
    if schedule is not None:
        spec.ClearField(schedule)
    return record.pack_plan(priority, kind, ms)


def _retry(checks: Checks, policy: job_pb2.RetryPolicy, field: str) -> dict[str, Any]:
    """The parts of the policy that were set, as pack_tail names them."""
    values: dict[str, Any] = {}
    if policy.max_attempts:
        values["max_attempts"] = checks.number(
            policy.max_attempts, f"{field}.max_attempts", 1, limits.MAX_ATTEMPTS_MAX
        )
    for name in ("initial_backoff", "max_backoff"):
        if policy.HasField(name):
            value: Duration = getattr(policy, name)
            values[f"{name}_ms"] = checks.duration(value, f"{field}.{name}", high_ms=limits.BACKOFF_MS_MAX)
    if policy.multiplier:
        values["multiplier"] = checks.number(
            policy.multiplier, f"{field}.multiplier", 1.0, limits.MULTIPLIER_MAX
        )
    return values


def _check_texts(checks: Checks, spec: job_pb2.JobSpec, field: str) -> None:
    checks.text(spec.content_type, f"{field}.content_type", bytes_max=limits.CONTENT_TYPE_BYTES_MAX)
    checks.text(spec.idempotency_key, f"{field}.idempotency_key", bytes_max=limits.IDEMPOTENCY_KEY_BYTES_MAX)
    size = sum(len(name.encode()) + len(value.encode()) for name, value in spec.headers.items())
    if size > limits.HEADERS_BYTES_MAX:
        checks.add(f"{field}.headers", f"must be at most {limits.HEADERS_BYTES_MAX} bytes in all, has {size}")


def _content_hash(spec: job_pb2.JobSpec) -> bytes:
    content = hashlib.blake2b(spec.payload, digest_size=16)
    content.update(b"\0" + spec.type.encode() + b"\0" + spec.content_type.encode())
    return content.digest()


def _year_ahead() -> int:
    return time.time_ns() // 1_000_000 + limits.YEAR_MS


def enqueue_result(answer: Enqueued) -> queue_service_pb2.EnqueueResult:
    word = answer.word
    reason = errors_pb2.ERROR_REASON_UNSPECIFIED
    if word is EnqueueWord.MISMATCH:
        reason = errors_pb2.ERROR_REASON_IDEMPOTENCY_MISMATCH
    elif word is EnqueueWord.FULL:
        reason = errors_pb2.ERROR_REASON_QUEUE_FULL
    return queue_service_pb2.EnqueueResult(
        job_id=uuid_text(answer.job_id), deduplicated=word is EnqueueWord.DUPLICATE, reason=reason
    )


def nack_result(answer: Nacked) -> queue_service_pb2.NackResult:
    result = queue_service_pb2.NackResult(outcome=LEASE_OUTCOMES[answer.word])
    if answer.word is LeaseWord.OK:
        result.state = answer.state  # type: ignore[assignment]
        result.delay.CopyFrom(duration(answer.delay_ms))
    return result


def extend_result(answer: Extended) -> queue_service_pb2.ExtendResult:
    return queue_service_pb2.ExtendResult(
        outcome=LEASE_OUTCOMES[answer.word], lease_remaining=duration(answer.left_ms)
    )


def duration(ms: int) -> Duration:
    return Duration(seconds=ms // 1000, nanos=ms % 1000 * 1_000_000)


def timestamp(ms: int) -> Timestamp:
    return Timestamp(seconds=ms // 1000, nanos=ms % 1000 * 1_000_000)
