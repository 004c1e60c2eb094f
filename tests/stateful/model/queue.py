"""What a queue holds, and the moves that all transitions are made of."""

import struct
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from relay_server.model import Failure, Lease, Record
from relay_server.words import DeadReason, FailureKind, LeaseWord, State
from tests.stateful.contents import (
    DEFAULTS,
    FAILURE_BYTES_KEPT,
    FAILURE_HEAD_BYTES,
    FAILURES_KEPT,
    NOTED_MS,
    Holder,
    Job,
    LastClaim,
    Seen,
)


def full_backoff(job_id: bytes, bound: int) -> int:
    """The longest delay that full jitter may choose."""
    return bound


@dataclass(slots=True)
class Queue:
    """One queue. Values in its dicts never change in place, so a copy of the dicts is a copy of the queue."""

    now: int
    backoff: Callable[[bytes, int], int] = full_backoff
    jobs: dict[bytes, Job] = field(default_factory=dict)
    keys: dict[str, Holder] = field(default_factory=dict)
    seen: dict[bytes, Seen] = field(default_factory=dict)
    claims: dict[str, LastClaim] = field(default_factory=dict)
    claims_until: int = 0
    conf: dict[str, float] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    unreadable: set[bytes] = field(default_factory=set)  # of `jobs`: damaged, and nothing has met them yet
    aside: set[bytes] = field(default_factory=set)  # no longer in `jobs`

    def advance(self, ms: int) -> None:
        """The store's clock moves, perhaps back; what has a time to live and is past it, is gone."""
        self.now += ms
        self.keys = {key: held for key, held in self.keys.items() if held.until > self.now}
        self.seen = {request: seen for request, seen in self.seen.items() if seen.until > self.now}
        if self.claims_until <= self.now:
            self.claims = {}

    def damage(self, job_id: bytes) -> None:
        """What is stored of the job can no longer be read."""
        self.unreadable.add(job_id)

    def looked(self) -> None:
        """A server is there: its reaper looked at the queue a moment ago."""
        if self.conf.get("clock", self.now) < self.now - NOTED_MS:
            self.conf["clock"] = self.now

    def _setting(self, name: str) -> float:
        return self.conf.get(name, DEFAULTS.get(name, 0))

    def _order(self, since: float, priority: int) -> float:
        return since - priority * self._setting("priority_step")

    def _in(self, state: State) -> list[bytes]:
        """Ids of one state, next first."""
        return [i for _, i in sorted((job.at, i) for i, job in self.jobs.items() if job.state is state)]

    def _due(self, state: State, limit: int) -> list[bytes]:
        return [i for i in self._in(state) if self.jobs[i].at <= self.now][:limit]

    def _head(self, state: State) -> int:
        return int(min((job.at for job in self.jobs.values() if job.state is state), default=0))

    def _put(self, job_id: bytes, state: State, at: float, record: Record) -> None:
        self.jobs[job_id] = self.jobs[job_id]._replace(state=state, at=at, record=record)

    def _remove(self, job_id: bytes, counter: str) -> bool:
        del self.jobs[job_id]
        self.unreadable.discard(job_id)
        self.counts[counter] += 1
        return True

    def _set_aside(self, job_id: bytes, state: State) -> bool:
        """A job that cannot be read goes aside when something meets it where it looks for jobs."""
        job = self.jobs.get(job_id)
        if job is None or job_id not in self.unreadable or job.state is not state:
            return False
        del self.jobs[job_id]
        self.unreadable.discard(job_id)
        self.aside.add(job_id)
        self.counts["unreadable"] += 1
        return True

    def _word(self, lease: Lease) -> LeaseWord:
        job = self.jobs.get(lease.id)
        if job is None or lease.id in self.unreadable:
            return LeaseWord.GONE
        if job.state is not State.INFLIGHT or job.record.token != lease.token:
            return LeaseWord.LEASE_LOST
        return LeaseWord.CANCELLED if job.record.cancelled else LeaseWord.OK

    def _settle(self, record: Record, state: State, delay: int) -> Record:
        return replace(record, token=b"", settled=struct.pack("<16sBd", record.token, state, delay))

    def _make_ready(self, job_id: bytes, record: Record, since: float) -> None:
        score = self._order(since, record.priority)
        self._put(job_id, State.READY, score, replace(record, score=score))

    def _back_off(self, job_id: bytes, record: Record, delay: int) -> None:
        if delay > 0:
            self._put(job_id, State.DELAYED, self.now + delay, record)
        else:
            self._make_ready(job_id, record, self.now)

    def _backoff(self, job_id: bytes, record: Record) -> int:
        bound = record.initial_backoff_ms * record.multiplier ** (record.attempt - 1)
        return self.backoff(job_id, int(min(bound, record.max_backoff_ms)))

    def _bury(self, job_id: bytes, record: Record, reason: DeadReason) -> None:
        self._put(job_id, State.DEAD, self.now, replace(record, reason=reason, token=b""))
        self.counts["dead"] += 1

    def _fail(self, job_id: bytes, record: Record, kind: FailureKind, error: bytes) -> Record:
        job = self.jobs[job_id]
        failures = [
            Failure(
                at_ms=self.now, attempt=record.attempt, kind=kind, worker_id=record.worker_id, error=error
            )
        ]
        size = _failure_bytes(failures[0])
        for old in reversed(job.failures):
            size += _failure_bytes(old)
            if len(failures) >= FAILURES_KEPT or size > FAILURE_BYTES_KEPT:
                break
            failures.insert(0, old)
        self.jobs[job_id] = job._replace(failures=tuple(failures))
        return record


def _failure_bytes(failure: Failure) -> int:
    return FAILURE_HEAD_BYTES + len(failure.worker_id) + len(failure.error)
