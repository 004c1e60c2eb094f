"""How a job's record and failures are packed: the Python twin of lua/lib/record.lua and lua/lib/failures.lua."""

import struct
from functools import lru_cache
from typing import NamedTuple

from relay_server.model import Failure, NewJob, Record
from relay_server.words import DeadReason, FailureKind

NOW, DELAY, RUN_AT = 0, 1, 2

VERSION = 1  # of the record; fields appended at its end do not change it

_PLAN = struct.Struct("<bBd")
_KEY_PLAN = struct.Struct("<Hd")
_SCORE = struct.Struct("<d")
_FIELDS = struct.Struct("<BbBBHHHIIfIIIddddf")
# How many bytes of a newer version follow, and behind those the length of the whole.
_END = struct.Struct("<HH")
_TEXTS = 6
TIME_MAX_MS = 1 << 47  # the year 6429; what is later can be told neither as a time nor as a duration
_READABLE_MULTIPLIER_MAX = 2.0**31  # above the contract's bound, so that it may be raised one day
# A further reason needs another store format: a server that does not know it cannot read the record (ADR 12).
_REASON_MAX = max(DeadReason)
_FAILURE = struct.Struct("<dHBB")
_KINDS = {kind.value: kind for kind in FailureKind}
_LENGTH = struct.Struct("<I")

NO_KEY = _KEY_PLAN.pack(0, 0)


class Unreadable(ValueError):
    """No version of Relay that this one knows can have written this."""


class Start(NamedTuple):
    """When a new job may run: at once, `ms` from now (DELAY), or `ms` since 1970 (RUN_AT)."""

    kind: int = NOW
    ms: int = 0


class Retry(NamedTuple):
    """How often a job that fails runs again, and how long it waits before."""

    max_attempts: int = 20
    initial_backoff_ms: int = 1000
    max_backoff_ms: int = 600_000
    multiplier: float = 2.0


AT_ONCE = Start()
_RETRY = Retry()


def new_job(
    job_id: bytes,
    job_type: str,
    body: bytes,
    *,
    start: Start = AT_ONCE,
    priority: int = 0,
    retry: Retry = _RETRY,
    max_runtime_ms: int = 0,
    expires_ms: int = 0,
    key: str = "",
    window_ms: int = 0,
    content_hash: bytes = b"",
) -> NewJob:
    """A job as `Transitions.enqueue` takes it."""
    plan = _pack_plan(start, priority)
    tail = _pack_tail(job_type, len(body), priority, retry, max_runtime_ms, expires_ms)
    return NewJob(job_id, plan, tail, body, key, window_ms, content_hash)


def plain_job(job_id: bytes, job_type: str, body: bytes, start: Start = AT_ONCE) -> NewJob:
    """The same, for a job that leaves all else to the defaults: most do, and their records are remembered."""
    plan = _AT_ONCE_PLAN if start is AT_ONCE else _pack_plan(start, 0)
    return NewJob(job_id, plan, _plain_tail(job_type, len(body)), body)


def pack_key(number: int, window_ms: int, content_hash: bytes) -> bytes:
    """What follows the plan of a job with an idempotency key; `number` counts the extra keys from 1."""
    return _KEY_PLAN.pack(number, window_ms) + content_hash


def _pack_plan(start: Start, priority: int) -> bytes:
    """Where a new job is to be placed."""
    return _PLAN.pack(priority, *start)


def _pack_tail(
    job_type: str, body_bytes: int, priority: int, retry: Retry, max_runtime_ms: int, expires_ms: int
) -> bytes:
    """A new job's record without its order score, which only the store's clock can give."""
    name = job_type.encode()
    fields = _FIELDS.pack(
        VERSION, priority, 0, 0, 0, 0, *retry, max_runtime_ms, 0, body_bytes, 0, 0, 0, expires_ms, 0
    )
    tail = fields + b"\0\0" + bytes((len(name),)) + name + b"\0\0\0"
    return tail + _END.pack(0, _SCORE.size + len(tail) + _END.size)


@lru_cache(maxsize=4096)
def _plain_tail(job_type: str, body_bytes: int) -> bytes:
    return _pack_tail(job_type, body_bytes, 0, _RETRY, 0, 0)


_AT_ONCE_PLAN = _pack_plan(AT_ONCE, 0)


def unpack_record(raw: bytes) -> Record:
    """The record as stored, its score first. Raises Unreadable, for just what lib/record.lua cannot read."""
    try:
        return _unpack_record(raw)
    except (struct.error, IndexError) as error:
        raise Unreadable(f"a record of {len(raw)} bytes ends too early") from error


def _unpack_record(raw: bytes) -> Record:
    (score,) = _SCORE.unpack_from(raw)
    version, *n = _FIELDS.unpack_from(raw, _SCORE.size)
    at = _SCORE.size + _FIELDS.size
    texts: list[bytes] = []
    for _ in range(_TEXTS):
        length = raw[at]
        texts.append(raw[at + 1 : at + 1 + length])
        at += 1 + length
    (later,) = struct.unpack_from("<H", raw, at)
    (size,) = struct.unpack_from("<H", raw, at + 2 + later)
    if not size == len(raw) == at + _END.size + later:
        raise Unreadable(f"a record of {len(raw)} bytes says that it has {size}")
    token, settled, job_type, error_type, worker, note = texts
    times = (score, n[13], n[14], n[15])
    if (
        version != VERSION
        or n[1] > 1
        or n[2] > _REASON_MAX
        or len(token) not in (0, 16)
        or len(settled) not in (0, 25)
        or not all(-TIME_MAX_MS <= ms <= TIME_MAX_MS for ms in times)
        or not 0 <= n[12] <= TIME_MAX_MS
        or not 0 <= n[16] <= 1
        or not 0 <= n[8] <= _READABLE_MULTIPLIER_MAX
    ):
        raise Unreadable(f"a record of version {version} holds what none has")
    return Record(
        score=score, priority=n[0], cancelled=n[1] == 1, reason=DeadReason(n[2]),
        attempt=n[3], expirations=n[4], max_attempts=n[5],
        initial_backoff_ms=n[6], max_backoff_ms=n[7], multiplier=n[8], max_runtime_ms=n[9], lease_ms=n[10],
        body_bytes=n[11], epoch=int(n[12]), claimed_ms=int(n[13]), extended_ms=int(n[14]), expires_ms=int(n[15]),
        progress=n[16], token=token, settled=settled, type=_text(job_type), error_type=_text(error_type),
        worker_id=_text(worker), note=_text(note),
    )  # fmt: skip


def unpack_failures(raw: bytes) -> tuple[Failure, ...]:
    """The failed attempts kept with a job, oldest first; up to the first that cannot be read."""
    failures: list[Failure] = []
    at = 0
    while at < len(raw):
        try:
            at_ms, attempt, kind, worker_length = _FAILURE.unpack_from(raw, at)
            worker_at = at + _FAILURE.size
            error_at = worker_at + worker_length + _LENGTH.size
            (length,) = _LENGTH.unpack_from(raw, error_at - _LENGTH.size)
        except struct.error:
            break
        at = error_at + length
        if at > len(raw) or not 0 <= at_ms <= TIME_MAX_MS:
            break
        failures.append(
            Failure(
                at_ms=int(at_ms),
                attempt=attempt,
                kind=_KINDS.get(kind, FailureKind.UNKNOWN),
                worker_id=_text(raw[worker_at : worker_at + worker_length]),
                error=raw[error_at:at],
            )
        )
    return tuple(failures)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")
