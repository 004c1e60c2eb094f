"""Plain data that the layers of the server hand to each other. Times are integer milliseconds by the store's clock."""

from dataclasses import dataclass, field
from typing import NamedTuple

from relay_server.words import ClaimStatus, DeadReason, EnqueueWord, FailureKind, LeaseWord, NackWord, State

# The hot path's records are tuples: a batch makes hundreds of them.


class NewJob(NamedTuple):
    """A checked job on its way in. `plan` and `tail` are packed by engine/record.py; ids are 16 bytes."""

    id: bytes
    plan: bytes
    tail: bytes
    body: bytes
    key: str = ""
    window_ms: int = 0
    content_hash: bytes = b""


class Enqueued(NamedTuple):
    """The answer for one job; `job_id` is the holder's for DUPLICATE and MISMATCH."""

    job_id: bytes
    word: EnqueueWord


class Lease(NamedTuple):
    """A job and the token that was given with it."""

    id: bytes
    token: bytes


class ClaimGroup(NamedTuple):
    """Up to `jobs` jobs for one session under one token."""

    token: bytes
    lease_ms: int
    jobs: int
    worker_id: str


class ClaimedJob(NamedTuple):
    """A job with what its new lease says."""

    id: bytes
    attempt: int
    max_attempts: int
    epoch: int
    waited_ms: int
    body: bytes


class Claimed(NamedTuple):
    """A claim's answer: jobs by group, and when to ask again (0: when woken)."""

    status: ClaimStatus
    now_ms: int
    more: bool
    next_at_ms: int
    groups: list[list[ClaimedJob]]


class Acked(NamedTuple):
    """The answer for one ack; `ran_ms` since the claim, or -1."""

    word: LeaseWord
    ran_ms: int


class NackedJob(NamedTuple):
    """One job to nack; `after_ms` -1 is the default for its kind."""

    id: bytes
    token: bytes
    kind: NackWord
    after_ms: int
    error_type: str
    error: bytes


class Nacked(NamedTuple):
    """The answer for one nack; `state` is 0 unless the word is OK."""

    word: LeaseWord
    state: int
    delay_ms: int


class Extension(NamedTuple):
    """One heartbeat; `fraction` -1 is no news of progress."""

    id: bytes
    token: bytes
    fraction: float = -1.0
    note: str = ""


class Extended(NamedTuple):
    """The answer for one heartbeat."""

    word: LeaseWord
    left_ms: int


class Swept(NamedTuple):
    """What one bounded step of the reaper or promoter did. `next_at_ms`: when to look again; 0: nothing is
    waiting. Both times are by the clock of the node that has the queue."""

    taken: int
    buried: int
    more: bool
    next_at_ms: int
    now_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """A queue's settings in force. Rate is claims a second (0: no limit), max_jobs 0: no limit."""

    rate: float
    burst: int
    priority_step_ms: int
    max_jobs: int
    max_expirations: int


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSnapshot:
    """A queue at one moment; `counters` are totals since it was created, by name."""

    queue: str
    now_ms: int
    ready: int
    delayed: int
    inflight: int
    dead: int
    unreadable: int
    oldest_ready_ms: int
    paused: bool
    settings: Settings
    counters: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One failed attempt; `error` is a serialized JobError, or empty."""

    at_ms: int
    attempt: int
    kind: FailureKind
    worker_id: str
    error: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The mutable record of a job, as lib/record.lua keeps it."""

    score: float
    priority: int
    cancelled: bool
    reason: DeadReason
    attempt: int
    expirations: int
    max_attempts: int
    initial_backoff_ms: int
    max_backoff_ms: int
    multiplier: float
    max_runtime_ms: int
    lease_ms: int
    body_bytes: int
    epoch: int
    claimed_ms: int
    extended_ms: int
    expires_ms: int
    progress: float
    token: bytes
    settled: bytes
    type: str
    error_type: str
    worker_id: str
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredJob:
    """A job as an operator sees it. `at_ms` is its place in the index; `body` is empty when too large for a preview."""

    id: bytes
    state: State
    at_ms: int
    record: Record
    body: bytes
    failures: tuple[Failure, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page of a state's index. `cursor` continues it; None on the last page."""

    jobs: list[StoredJob]
    total: int
    cursor: "Cursor | None"


class Cursor(NamedTuple):
    """Where a walk along an index goes on: behind this job of this score. It may be gone; `id` may be empty: before the
    first job of the score."""

    score: str
    id: bytes


class Want(NamedTuple):
    """Which jobs of a state; empty: any. Deaths lie in [oldest_at_ms, newest_at_ms].

    `stamp_max_ms` leaves out jobs whose stamp, the time at which a server took the job, is later, and those that were
    cancelled before. A job without a stamp is wanted.
    """

    type: str = ""
    error_type: str = ""
    oldest_at_ms: int | None = None
    newest_at_ms: int | None = None
    stamp_max_ms: float | None = None


EVERY = Want()


class Scanned(NamedTuple):
    """A stretch of an index: how many jobs were looked at, which are wanted, and where to go on (None: at its end)."""

    examined: int
    ids: list[bytes]
    cursor: Cursor | None


class DeadGroup(NamedTuple):
    """Dead letters of one job type and error type."""

    type: str
    error_type: str
    jobs: int
    first_ms: int
    last_ms: int


class Grouped(NamedTuple):
    """A stretch of the dead letters, newest first, in groups; `total` counts them all."""

    examined: int
    total: int
    groups: list[DeadGroup]
    cursor: Cursor | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A broken invariant; `job_id` may be empty."""

    invariant: str
    job_id: bytes
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditPage:
    """One bounded step of an audit. `cursor` is None when the queue is done."""

    checked: int
    findings: list[Finding] = field(default_factory=list)
    cursor: tuple[str, str, str] | None = None
