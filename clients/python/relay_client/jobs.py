"""The description of a job that a producer gives, and its form on the wire."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from typing import Any, Final, TypedDict
from uuid import UUID

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from relay.v1 import job_pb2
from relay_client.durations import DurationLike, parse_duration, to_proto
from relay_client.errors import TooLarge
from relay_client.ids import new_id
from relay_client.limits import MAX_ATTEMPTS_MAX, MESSAGE_BYTES_MAX, MULTIPLIER_MAX

OCTET_STREAM: Final = "application/octet-stream"
# The most that --payload-bytes-max can allow; a server checks its own, lower limit.
PAYLOAD_BYTES_ALLOWED: Final = 3 << 20
# A gRPC message, less the queue's name.
JOB_BYTES_MAX: Final = MESSAGE_BYTES_MAX - 1024
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How failures of a job are retried; what is None has the server's default.

    max_attempts     attempts in all, the first included: 1 to 1000, default 20
    initial_backoff  upper bound of the delay after the first failure, default 1 s
    max_backoff      upper bound of any delay, default 10 min
    multiplier       growth per attempt: 1 to 100, default 2
    """

    max_attempts: int | None = None
    initial_backoff: DurationLike | None = None
    max_backoff: DurationLike | None = None
    multiplier: float | None = None


class JobOptions(TypedDict, total=False):
    """The options of a job, beside its type and payload; an option that is left out or None has the default.

    delay               how long to wait ("5m", seconds, timedelta), or run_at: when to start (with a time zone)
    priority            -9 to 9, higher first; default 0
    idempotency_key     a second job with it is not made for idempotency_window, default 24 h
    headers             up to 32; `traceparent` is carried to the worker
    retry               how failures are retried
    max_runtime         longest time of one attempt
    expires_at          a job still waiting then becomes a dead letter
    content_type        media type of the payload; JSON, or application/octet-stream for bytes
    job_id              a UUID; minted by default
    """

    delay: DurationLike | None
    run_at: datetime | None
    priority: int
    idempotency_key: str | None
    idempotency_window: DurationLike | None
    headers: Mapping[str, str] | None
    retry: RetryPolicy | None
    max_runtime: DurationLike | None
    expires_at: datetime | None
    content_type: str | None
    job_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """One job to enqueue; all but type and payload are `JobOptions`."""

    type: str
    payload: Any = None
    delay: DurationLike | None = None
    run_at: datetime | None = None
    priority: int = 0
    idempotency_key: str | None = None
    idempotency_window: DurationLike | None = None
    headers: Mapping[str, str] | None = None
    retry: RetryPolicy | None = None
    max_runtime: DurationLike | None = None
    expires_at: datetime | None = None
    content_type: str | None = None
    job_id: str | None = None


JobLike = JobSpec | Mapping[str, Any] | tuple[str, Any]


@dataclass(frozen=True, slots=True)
class Enqueued:
    """An accepted job: its id, or with `deduplicated` the id of the job that holds the idempotency key."""

    id: str
    deduplicated: bool = False


def as_spec(job: JobLike) -> JobSpec:
    """Takes a JobSpec, a mapping of its fields or a pair (type, payload)."""
    if isinstance(job, JobSpec):
        return job
    if isinstance(job, Mapping):
        return JobSpec(**job)
    if isinstance(job, tuple) and len(job) == 2:
        return JobSpec(type=job[0], payload=job[1])
    raise TypeError(
        f"job: {type(job).__name__}; give a JobSpec, a mapping of its fields, or a pair (type, payload)"
    )


def to_wire(spec: JobSpec) -> job_pb2.JobSpec:
    """The job as it is sent, with an id minted when the spec has none.

    ValueError or TypeError names the field that cannot be sent; ranges are the server's to check. TooLarge: a
    payload over the 3 MiB that any server can be told to take, or a job over what one gRPC message holds.
    """
    if spec.delay is not None and spec.run_at is not None:
        raise ValueError("delay and run_at: give one of them")
    if spec.idempotency_window is not None and not spec.idempotency_key:
        raise ValueError("idempotency_window: has no effect without idempotency_key")
    if not isinstance(spec.type, str):
        raise TypeError(f"type: {type(spec.type).__name__}; the type of a job is a string")
    payload, content_type = encode_payload(spec.payload, spec.content_type)
    _check_size("payload", len(payload), PAYLOAD_BYTES_ALLOWED)
    wire = job_pb2.JobSpec(
        id=spec.job_id or new_id(),
        type=spec.type,
        payload=payload,
        content_type=content_type,
        priority=spec.priority,
    )
    if spec.headers:
        wire.headers.update(spec.headers)
    if spec.idempotency_key:
        wire.idempotency_key = spec.idempotency_key
    if spec.delay is not None:
        wire.delay.CopyFrom(to_proto(parse_duration(spec.delay, "delay")))
    if spec.run_at is not None:
        wire.run_at.CopyFrom(_timestamp(spec.run_at, "run_at"))
    if spec.idempotency_window is not None:
        wire.idempotency_window.CopyFrom(
            to_proto(parse_duration(spec.idempotency_window, "idempotency_window"))
        )
    if spec.max_runtime is not None:
        wire.max_runtime.CopyFrom(to_proto(parse_duration(spec.max_runtime, "max_runtime")))
    if spec.expires_at is not None:
        wire.expires_at.CopyFrom(_timestamp(spec.expires_at, "expires_at"))
    if spec.retry is not None:
        wire.retry.CopyFrom(_retry(spec.retry))
    _check_size("job", wire.ByteSize(), JOB_BYTES_MAX)
    return wire


def _check_size(name: str, size: int, most: int) -> None:
    # gRPC would refuse it in words that name neither the field nor what to do.
    if size > most:
        raise TooLarge(
            f"{name}: must be at most {most} bytes, has {size}; store it elsewhere and enqueue where it is "
            "(a server takes payloads of 1048576 bytes, unless its --payload-bytes-max says otherwise)",
            code=grpc.StatusCode.RESOURCE_EXHAUSTED,
            reason="TOO_LARGE",
        )


def encode_payload(payload: Any, content_type: str | None = None) -> tuple[bytes, str]:
    """The payload's bytes and its content type; an empty content type means JSON.

    Bytes are sent as they are. With a content type that is not JSON, text is sent as UTF-8 and nothing else is taken.
    Everything else becomes JSON: numbers, text, lists, mappings, dataclasses, and inside them dates, UUIDs and enums.
    """
    if isinstance(payload, bytes | bytearray | memoryview):
        return bytes(payload), OCTET_STREAM if content_type is None else content_type
    if content_type and not _is_json(content_type):
        if isinstance(payload, str):
            return payload.encode(), content_type
        raise TypeError(
            f"payload: {type(payload).__name__} cannot be sent as {content_type}; encode it to bytes yourself"
        )
    try:
        text = json.dumps(payload, default=_plain, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode(), content_type or ""
    except TypeError as error:
        raise TypeError(f"payload: {error}") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"payload: cannot be written as JSON: {error}") from error


def _is_json(content_type: str) -> bool:
    media = content_type.partition(";")[0].strip().lower()
    return media == "application/json" or media.endswith("+json")


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        # One level: json comes back here for what is inside.
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not JSON; convert it, or send bytes with a content_type")


def _timestamp(value: datetime, name: str) -> Timestamp:
    if not isinstance(value, datetime):
        raise TypeError(f"{name}: {type(value).__name__}; give a datetime with a time zone")
    if value.tzinfo is None:
        raise ValueError(
            f"{name}: {value.isoformat()} has no time zone; use datetime.now(timezone.utc) or add one"
        )
    # datetime.timestamp() is a float and would lose microseconds.
    micros = (value - _EPOCH) // timedelta(microseconds=1)
    return Timestamp(seconds=micros // 1_000_000, nanos=micros % 1_000_000 * 1000)


def _retry(policy: RetryPolicy) -> job_pb2.RetryPolicy:
    # On the wire zero means "the default"; whoever writes 0 expects something else.
    if policy.max_attempts is not None and policy.max_attempts < 1:
        raise ValueError(f"retry.max_attempts: {policy.max_attempts}; must be 1 to {MAX_ATTEMPTS_MAX}")
    if policy.multiplier is not None and policy.multiplier < 1:
        raise ValueError(f"retry.multiplier: {policy.multiplier}; must be 1 to {MULTIPLIER_MAX}")
    wire = job_pb2.RetryPolicy(max_attempts=policy.max_attempts or 0, multiplier=policy.multiplier or 0.0)
    if policy.initial_backoff is not None:
        wire.initial_backoff.CopyFrom(
            to_proto(parse_duration(policy.initial_backoff, "retry.initial_backoff"))
        )
    if policy.max_backoff is not None:
        wire.max_backoff.CopyFrom(to_proto(parse_duration(policy.max_backoff, "retry.max_backoff")))
    return wire
