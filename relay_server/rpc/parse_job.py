"""Reads a JobSpec that a producer sends, and checks each field: a job as the engine takes it."""

import hashlib
from collections.abc import Mapping
from typing import Any

from google.protobuf.duration_pb2 import Duration

from relay.v1 import job_pb2, queue_service_pb2
from relay_server import errors, limits
from relay_server.engine import record
from relay_server.model import NewJob
from relay_server.observability.tracing import carry
from relay_server.rpc.ids import derived_id, mint_id
from relay_server.rpc.validate import Checks


def enqueue_stamp() -> bytes:
    """What the server adds to a stored job: when it was accepted. Appended to a serialized JobSpec it makes a Job."""
    job = job_pb2.Job()
    job.enqueue_time.GetCurrentTime()
    return job.SerializeToString()


def new_job(
    checks: Checks, spec: job_pb2.JobSpec, field: str, *, stamp: bytes, payload_bytes_max: int
) -> NewJob:
    """A checked job. Changes `spec`. Fields out of their bounds go to `checks`.

    The stored body is the spec, serialized again without its id and schedule, which the engine keeps elsewhere, and
    the stamp behind it. Raises errors.TooLarge for a payload over `payload_bytes_max`.
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
    start = _start(checks, spec, field)
    if _is_plain(spec):
        return record.plain_job(job_id, job_type, spec.SerializeToString() + stamp, start)
    _check_texts(checks, spec, field)
    return record.new_job(
        job_id,
        job_type,
        spec.SerializeToString() + stamp,
        start=start,
        priority=priority,
        retry=_retry(checks, spec.retry, f"{field}.retry"),
        max_runtime_ms=checks.duration(
            spec.max_runtime, f"{field}.max_runtime", high_ms=limits.MAX_RUNTIME_MS_MAX
        ),
        expires_ms=_expires_ms(checks, spec, field),
        key=spec.idempotency_key,
        window_ms=_window_ms(checks, spec, field),
        content_hash=_content_hash(spec) if spec.idempotency_key else b"",
    )


def batch(
    checks: Checks,
    queue: str,
    request: queue_service_pb2.EnqueueBatchRequest,
    *,
    trace: Mapping[str, str],
    payload_bytes_max: int,
) -> list[NewJob]:
    """The jobs of a batch. They carry the trace, and those of a named batch have the same ids at a repeat.

    Checks and raises as `new_job` does.
    """
    stamp = enqueue_stamp()
    jobs: list[NewJob] = []
    for i, spec in enumerate(request.jobs):
        if trace:
            carry(spec.headers, trace)
        if request.request_id and not spec.id:
            spec.id = derived_id(queue, request.request_id, i)
        jobs.append(new_job(checks, spec, f"jobs[{i}]", stamp=stamp, payload_bytes_max=payload_bytes_max))
    return jobs


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
        or len(spec.type) > limits.TYPE_BYTES_MAX // 4  # characters, of at most 4 bytes each
    )


def _start(checks: Checks, spec: job_pb2.JobSpec, field: str) -> record.Start:
    """The schedule, which the engine keeps elsewhere than in the body."""
    schedule = spec.WhichOneof("schedule")
    if schedule is None:
        return record.AT_ONCE
    if schedule == "delay":
        ms = checks.duration(spec.delay, f"{field}.delay", high_ms=limits.DELAY_MS_MAX)
        start = record.Start(record.DELAY, ms)
    else:
        ms = checks.timestamp(spec.run_at, f"{field}.run_at", ahead_ms=limits.DELAY_MS_MAX)
        start = record.Start(record.RUN_AT, ms)
    spec.ClearField(schedule)
    return start


def _retry(checks: Checks, policy: job_pb2.RetryPolicy, field: str) -> record.Retry:
    """The policy; parts that were not set have their default."""
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
    return record.Retry(**values)


def _expires_ms(checks: Checks, spec: job_pb2.JobSpec, field: str) -> int:
    """When it expires, in ms since 1970; 0: never."""
    if not spec.HasField("expires_at"):
        return 0
    return checks.timestamp(spec.expires_at, f"{field}.expires_at", ahead_ms=limits.DELAY_MS_MAX)


def _window_ms(checks: Checks, spec: job_pb2.JobSpec, field: str) -> int:
    """How long its idempotency key is held."""
    if not spec.HasField("idempotency_window"):
        return limits.WINDOW_MS_DEFAULT
    return checks.duration(
        spec.idempotency_window,
        f"{field}.idempotency_window",
        low_ms=limits.WINDOW_MS_MIN,
        high_ms=limits.WINDOW_MS_MAX,
    )


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
