"""How a job's mutable record and its failures are packed: the Python twin of lua/lib/record.lua and lib/fail.lua."""

import struct

from relay_server.model import Failure, Record

NOW, DELAY, RUN_AT = 0, 1, 2

_PLAN = struct.Struct("<bBd")
_KEY_PLAN = struct.Struct("<Hd")
_TAIL = struct.Struct("<bBBHHHIIfIIIddddf")
_FAILURE = struct.Struct("<dHBB")
_LENGTH = struct.Struct("<I")

NO_KEY = _KEY_PLAN.pack(0, 0)


def pack_plan(priority: int, kind: int, ms: int) -> bytes:
    """When and where a new job is to be placed: `kind` is NOW, DELAY (ms from now) or RUN_AT (ms since 1970)."""
    return _PLAN.pack(priority, kind, ms)


def pack_key(number: int, window_ms: int, content_hash: bytes) -> bytes:
    """What follows the plan of a job with an idempotency key; `number` counts the extra keys from 1."""
    return _KEY_PLAN.pack(number, window_ms) + content_hash


def pack_tail(
    *,
    job_type: str,
    body_bytes: int,
    priority: int = 0,
    max_attempts: int = 20,
    initial_backoff_ms: int = 1000,
    max_backoff_ms: int = 600_000,
    multiplier: float = 2.0,
    max_runtime_ms: int = 0,
    expires_ms: int = 0,
) -> bytes:
    """A new job's record without its order score, which only the store's clock can give."""
    name = job_type.encode()
    numbers = _TAIL.pack(
        priority, 0, 0, 0, 0, max_attempts, initial_backoff_ms, max_backoff_ms, multiplier, max_runtime_ms, 0,
        body_bytes, 0, 0, 0, expires_ms, 0,
    )  # fmt: skip
    return numbers + b"\0\0" + bytes((len(name),)) + name + b"\0\0\0"


def unpack_record(raw: bytes) -> Record:
    """The record as stored, its score first."""
    (score,) = struct.unpack_from("<d", raw)
    n = _TAIL.unpack_from(raw, 8)
    at = 8 + _TAIL.size
    texts: list[bytes] = []
    for _ in range(6):
        length = raw[at]
        texts.append(raw[at + 1 : at + 1 + length])
        at += 1 + length
    token, settled, job_type, error_type, worker, note = texts
    return Record(
        score=score, priority=n[0], cancelled=n[1] == 1, reason=n[2], attempt=n[3], expirations=n[4], max_attempts=n[5],
        initial_backoff_ms=n[6], max_backoff_ms=n[7], multiplier=n[8], max_runtime_ms=n[9], lease_ms=n[10],
        body_bytes=n[11], epoch=int(n[12]), claimed_ms=int(n[13]), renewed_ms=int(n[14]), expires_ms=int(n[15]),
        progress=n[16], token=token, settled=settled, type=_text(job_type), error_type=_text(error_type),
        worker_id=_text(worker), note=_text(note),
    )  # fmt: skip


def unpack_failures(raw: bytes) -> tuple[Failure, ...]:
    """The failed attempts kept with a job, oldest first."""
    failures: list[Failure] = []
    at = 0
    while at < len(raw):
        at_ms, attempt, kind, worker_length = _FAILURE.unpack_from(raw, at)
        at += _FAILURE.size
        worker = raw[at : at + worker_length]
        at += worker_length
        (length,) = _LENGTH.unpack_from(raw, at)
        at += _LENGTH.size
        failures.append(
            Failure(
                at_ms=int(at_ms),
                attempt=attempt,
                kind=kind,
                worker_id=_text(worker),
                error=raw[at : at + length],
            )
        )
        at += length
    return tuple(failures)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")
