"""The plain data that the parts of a worker hand to one another."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from google.protobuf.duration_pb2 import Duration

from relay.v1.queue_service_pb2 import ClaimedJob, Jobs
from relay_worker.outcome import Outcome, StopReason

_NO_HEADERS: Mapping[str, str] = {}


class CancelFlag:
    """The request to stop: `if ctx.cancelled:` tests it; a sync handler may sleep on `ctx.cancelled.wait(0.5)`.

    A handler that stops early raises, best by `ctx.raise_if_cancelled()`: returning means that the work is done.
    """

    __slots__ = ("_event", "_set")

    def __init__(self) -> None:
        self._set = False
        self._event: threading.Event | None = None

    def __bool__(self) -> bool:
        return self.is_set()

    def is_set(self) -> bool:
        """True when the lease is lost, the job was cancelled, or the worker is out of time for it."""
        return self._set

    def wait(self, timeout: float | None = None) -> bool:
        """Sleeps up to `timeout` seconds; returns is_set()."""
        # Most handlers never wait, and an Event costs more than the rest of a quick job.
        if self._event is None:
            self._event = threading.Event()
        if not self._set:
            self._event.wait(timeout)
        return self.is_set()

    def set(self) -> None:
        """Called by the worker, from any thread."""
        self._set = True
        if self._event is not None:
            self._event.set()


# Not frozen: the run, the lease and the settle of a job each move on, and this is built once a job on the hot path.
@dataclass(slots=True, eq=False)
class LeaseGroup:
    """Jobs that came under one token. Times are seconds of the monotonic clock."""

    queue: str
    token: bytes
    jobs: dict[str, HeldJob]
    extend_at: float
    # The earliest end of its jobs' leases.
    deadline: float


@dataclass(slots=True, eq=False)
class HeldJob:
    """A job this worker holds a lease on, from receipt until it is settled or lost."""

    group: LeaseGroup
    job_id: str
    queue: str
    type: str
    payload: bytes
    content_type: str
    attempt: int
    max_attempts: int
    epoch: int
    idempotency_key: str
    headers: Mapping[str, str]
    # Seconds; 0 means no limit.
    max_runtime_s: float
    received_at: float
    deadline: float
    cancelled: CancelFlag = field(default_factory=CancelFlag)
    # Written by whoever stops the job, read when its handler ends.
    stop: StopReason = StopReason.NO
    # Ends the handler early; set while it runs.
    interrupt: Callable[[], object] | None = None
    outcome: Outcome | None = None
    # The handler still occupies its slot. It may outlive the settle: a thread cannot be killed.
    busy: bool = True
    # The settle is on its way or answered, so the server no longer counts the job.
    sent: bool = False
    # A settle of it was not answered, and may have been applied.
    tried: bool = False
    progress: tuple[float, str] | None = None


def received(frame: Jobs, now: float, extend_every_s: float) -> LeaseGroup:
    """A frame as the worker keeps it. Copies what it needs: one kept sub-message would keep the whole frame alive."""
    deadline = now + seconds(frame.lease_remaining)
    group = LeaseGroup(
        queue=frame.queue,
        token=frame.lease_token,
        jobs={},
        # A frame may have waited on the way: extend it by the lease it has left, not by the one it started with.
        extend_at=now + min(extend_every_s, (deadline - now) / 3),
        deadline=deadline,
    )
    for claimed in frame.jobs:
        held = _held(claimed, group, now, deadline)
        group.jobs[held.job_id] = held
    return group


def _held(claimed: ClaimedJob, group: LeaseGroup, now: float, deadline: float) -> HeldJob:
    job = claimed.job
    return HeldJob(
        group=group,
        job_id=job.id,
        queue=group.queue,
        type=job.type,
        payload=job.payload,
        content_type=job.content_type,
        attempt=claimed.attempt,
        max_attempts=claimed.max_attempts,
        epoch=claimed.epoch,
        idempotency_key=job.idempotency_key,
        headers=dict(job.headers) or _NO_HEADERS,
        max_runtime_s=seconds(job.max_runtime) if job.HasField("max_runtime") else 0.0,
        received_at=now,
        deadline=deadline,
    )


def seconds(duration: Duration) -> float:
    """A google.protobuf.Duration in seconds."""
    return duration.seconds + duration.nanos / 1e9
