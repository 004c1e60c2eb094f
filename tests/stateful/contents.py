"""What the reference model holds, as plain values, and the numbers of the contract."""

from typing import NamedTuple

from relay_server.model import Enqueued, Failure, Record
from relay_server.words import State

NOW, DELAY, RUN_AT = 0, 1, 2

SEEN_MS, CLAIMS_MS = 60_000, 3_600_000
LAST_CLAIM_MS = 60_000
RELEASE_MS, THROTTLED_MS_MIN, STOP_MS, STEP_BACK_MS = 1000, 100, 10_000, 5000
OUTAGE_MS, GRACE_MS, LOOK_MS, NOTED_MS, SPARED_MAX = 10_000, 10_000, 5000, 2000, 3
CATCH_UP_MAX, EXPIRES_MAX, LOOK_AHEAD = 100, 500, 100
FAILURES_KEPT, FAILURE_BYTES_KEPT, FAILURE_HEAD_BYTES = 10, 32_768, 16
DEFAULTS = {"priority_step": 3_600_000.0, "max_expirations": 3.0}


class Spec(NamedTuple):
    """A job as a producer asks for it. Times ms; `content` is what an idempotency key compares, 16 bytes."""

    id: bytes
    body: bytes = b""
    priority: int = 0
    kind: int = NOW
    ms: int = 0
    key: str = ""
    window_ms: int = 0
    content: bytes = bytes(16)
    max_attempts: int = 20
    initial_backoff_ms: int = 1000
    max_backoff_ms: int = 600_000
    multiplier: float = 2.0
    max_runtime_ms: int = 0
    expires_ms: int = 0


class Job(NamedTuple):
    """A job where it is; `at` is its order score, due time, lease deadline or time of death.

    In a picture the record is None when it cannot be read.
    """

    state: State
    at: float
    record: Record
    body: bytes
    failures: tuple[Failure, ...] = ()


class Holder(NamedTuple):
    """Who took an idempotency key."""

    id: bytes
    content: bytes
    until: int


class Seen(NamedTuple):
    """How a request was answered."""

    answers: tuple[Enqueued, ...]
    until: int


class LastClaim(NamedTuple):
    """What a server claimed last: (token, ids) for each group that got jobs."""

    nonce: bytes
    groups: tuple[tuple[bytes, tuple[bytes, ...]], ...]
    until: int
