"""Decides which finished jobs share a call, and when: a queue in trouble holds up no other. No I/O.

Healthy queues share calls here, where the Go and TypeScript SDKs make one call a queue. A unary call costs Python some
0.4 ms of its one interpreter, almost whatever is in it. A worker that finishes 2 000 jobs/s of 32 queues makes 160
calls/s this way and 1 500 with one a queue: two thirds of a core, taken from the handlers. The other two languages
spread calls over cores, or over a thread of their own, and keep the simpler rule.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

from relay_client.limits import BATCH_JOBS_MAX
from relay_worker.model import HeldJob
from relay_worker.outcome import Nack

# So many jobs are sent at once; fewer wait this long for more.
SETTLE_BATCH = 64
SETTLE_LINGER_S = 0.005
# When a call of several queues takes longer, one of them is slow, and the others stop waiting for the answer.
SLOW_S = 0.25
# Each Nack may carry 8 KiB of error; a request must stay far below gRPC's 4 MiB.
NACKS_PER_CALL_MAX = 128


class Kind(Enum):
    """The two calls that settle."""

    ACK = "ack"
    NACK = "nack"


_JOBS_MAX = {Kind.ACK: BATCH_JOBS_MAX, Kind.NACK: NACKS_PER_CALL_MAX}


@dataclass(slots=True, eq=False)
class Outbox:
    """Jobs of one queue that wait for an Ack, or for a Nack, and how its calls go. Times are of the monotonic clock."""

    queue: str
    kind: Kind
    jobs: list[HeldJob] = field(default_factory=list)
    # The call on its way. Jobs that finish meanwhile wait for its answer and share the next call.
    call: Call | None = None
    # True after a call that failed or was slow. The next call then carries this queue alone.
    apart: bool = False
    failures: int = 0
    rests_until: float = 0.0
    ready_since: float | None = None
    urgent: bool = False


@dataclass(slots=True, eq=False)
class Call:
    """Jobs that are settled together."""

    kind: Kind
    outboxes: list[Outbox]
    jobs: list[HeldJob]
    sent_at: float


class Outboxes:
    """Finished jobs by queue and by kind of call. Healthy queues share calls, one at a time for each queue."""

    def __init__(self) -> None:
        self._outboxes: dict[tuple[str, Kind], Outbox] = {}
        self._out: set[Call] = set()
        self._waiting = 0

    @property
    def unsettled(self) -> int:
        """How many jobs wait or are on their way."""
        return self._waiting + sum(len(call.jobs) for call in self._out)

    def add(self, job: HeldJob, *, idle: bool) -> bool:
        """Takes a finished job. True when the sender must look at its timer again."""
        kind = Kind.NACK if isinstance(job.outcome, Nack) else Kind.ACK
        outbox = self._outboxes.get((job.queue, kind))
        if outbox is None:
            outbox = self._outboxes[job.queue, kind] = Outbox(job.queue, kind)
        outbox.jobs.append(job)
        self._waiting += 1
        if idle:
            for other in self._outboxes.values():
                other.urgent = bool(other.jobs)
        return idle or len(outbox.jobs) == 1 or self._waiting % SETTLE_BATCH == 0

    def due(self, now: float, *, closing: bool) -> list[Call]:
        """The calls to send now."""
        self._part_from_slow(now)
        calls = []
        for kind, outboxes in self._groups(now):
            for outbox in outboxes:
                outbox.ready_since = now if outbox.ready_since is None else outbox.ready_since
            if closing or _is_due(outboxes, now):
                calls.append(self._take(kind, outboxes, now))
        return calls

    def wait_s(self, now: float) -> float | None:
        """Seconds until more becomes due by itself; None when only a new job or an answer can change that."""
        times = [call.sent_at + SLOW_S for call in self._out if _may_part(call)]
        for outbox in self._outboxes.values():
            if outbox.jobs and outbox.call is None:
                linger = now if outbox.ready_since is None else outbox.ready_since + SETTLE_LINGER_S
                times.append(max(linger, outbox.rests_until))
        return max(0.0, min(times) - now) if times else None

    def answered(self, call: Call, now: float) -> None:
        """The call was answered: its queues may send again, and share calls if it was quick."""
        slow = now - call.sent_at > SLOW_S
        for outbox in self._free(call):
            outbox.failures = 0
            outbox.apart = slow
        self._out.discard(call)

    def failed(self, call: Call, now: float, pause_s: float) -> None:
        """The call was not answered: its jobs are due again, each queue by itself, after the pause."""
        self._free(call)
        for outbox in call.outboxes:
            outbox.apart = True
            # In front of jobs that finished since: the leases of these end first.
            outbox.jobs = [job for job in call.jobs if job.queue == outbox.queue] + outbox.jobs
            if outbox.call is None:
                outbox.failures += 1
                outbox.rests_until = now + pause_s
        for job in call.jobs:
            job.tried = True
        self._waiting += len(call.jobs)
        self._out.discard(call)

    def dropped(self, call: Call) -> None:
        """The call was refused for good: forgets its jobs."""
        self._free(call)
        self._out.discard(call)

    def hurry(self, until: float) -> None:
        """No pause lasts longer than `until`."""
        for outbox in self._outboxes.values():
            outbox.rests_until = min(outbox.rests_until, until)

    def take_ended(self, now: float) -> list[HeldJob]:
        """Takes out the jobs whose settle failed and whose leases have ended: another try would be useless."""
        over: list[HeldJob] = []
        for outbox in self._outboxes.values():
            if outbox.failures and outbox.rests_until <= now:
                over += (job for job in outbox.jobs if job.tried and job.deadline <= now)
                outbox.jobs = [job for job in outbox.jobs if not job.tried or job.deadline > now]
        self._waiting -= len(over)
        return over

    def take_all(self) -> list[HeldJob]:
        """Takes out every job that is in no call."""
        jobs = [job for outbox in self._outboxes.values() for job in outbox.jobs]
        for outbox in self._outboxes.values():
            outbox.jobs = []
        self._waiting = 0
        return jobs

    def _groups(self, now: float) -> Iterator[tuple[Kind, list[Outbox]]]:
        ready = [
            outbox
            for outbox in self._outboxes.values()
            if outbox.jobs and outbox.call is None and outbox.rests_until <= now
        ]
        for kind in Kind:
            together = [outbox for outbox in ready if outbox.kind is kind and not outbox.apart]
            if together:
                yield kind, together
        for outbox in ready:
            if outbox.apart:
                yield outbox.kind, [outbox]

    def _take(self, kind: Kind, outboxes: list[Outbox], now: float) -> Call:
        call = Call(kind, [], [], now)
        for outbox in outboxes:
            part = outbox.jobs[: _JOBS_MAX[kind] - len(call.jobs)]
            if not part:
                break
            del outbox.jobs[: len(part)]
            call.jobs += part
            call.outboxes.append(outbox)
            outbox.call, outbox.ready_since = call, None
            outbox.urgent = outbox.urgent and bool(outbox.jobs)
        self._waiting -= len(call.jobs)
        self._out.add(call)
        return call

    def _part_from_slow(self, now: float) -> None:
        for call in self._out:
            if now - call.sent_at > SLOW_S and _may_part(call):
                for outbox in self._free(call):
                    outbox.apart = True

    def _free(self, call: Call) -> list[Outbox]:
        """Frees the queues that still wait for this call, and returns them."""
        mine = [outbox for outbox in call.outboxes if outbox.call is call]
        for outbox in mine:
            outbox.call = None
        return mine


def _is_due(outboxes: list[Outbox], now: float) -> bool:
    return (
        sum(len(outbox.jobs) for outbox in outboxes) >= SETTLE_BATCH
        or any(outbox.urgent or outbox.failures for outbox in outboxes)
        or min(outbox.ready_since or now for outbox in outboxes) + SETTLE_LINGER_S <= now
    )


def _may_part(call: Call) -> bool:
    # A queue that is alone in its call waits for the answer: more calls would not help a slow server.
    return len(call.outboxes) > 1 and any(outbox.call is call for outbox in call.outboxes)
