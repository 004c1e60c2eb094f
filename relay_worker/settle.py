"""Settles jobs: gathers Acks and Nacks into few calls, repeated until they are answered or their leases are over."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable
from datetime import timedelta

import grpc
import structlog

from relay.v1 import job_pb2
from relay.v1 import queue_service_pb2 as pb
from relay.v1.queue_service_pb2_grpc import QueueServiceStub
from relay_client.durations import to_proto
from relay_client.errors import RelayError, Unavailable
from relay_worker.leases import JOBS_PER_CALL_MAX, LeaseKeeper
from relay_worker.link import Link, typed
from relay_worker.model import HeldJob
from relay_worker.outcome import JobFailure, Nack
from relay_worker.window import Window

BATCH_JOBS = 64
LINGER_S = 0.005
# Each may carry 8 KiB of error, and a request must stay far below gRPC's 4 MiB.
NACKS_PER_CALL_MAX = 128
_BACKOFF_FIRST_S = 0.05
_BACKOFF_MAX_S = 1.0
_CALL_S_MAX = 5.0

# Repeating cannot help: the request itself was refused.
_REFUSED = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.UNIMPLEMENTED,
    # Ours: the channel was closed.
    grpc.StatusCode.CANCELLED,
}

OnSettled = Callable[[HeldJob, pb.LeaseOutcome.ValueType], None]

_log = structlog.get_logger("relay_worker.settle")


class Settler:
    """A thread with a list of finished jobs. `add` may be called from any thread and never waits."""

    def __init__(
        self, link: Link, window: Window, leases: LeaseKeeper, *, lease_s: float, on_settled: OnSettled
    ) -> None:
        self._link = link
        self._window = window
        self._leases = leases
        self._on_settled = on_settled
        self._call_s = min(_CALL_S_MAX, max(0.5, lease_s / 3))
        self._wake = threading.Condition()
        self._pending: list[HeldJob] = []
        self._flush = False
        self._closing_at: float | None = None
        self._unsettled = 0
        self._thread = threading.Thread(target=self._run, name="relay-settle", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def add(self, job: HeldJob, *, idle: bool) -> None:
        """Takes a job whose `outcome` is Ack or Nack. `idle`: nothing else runs, so waiting for company is vain."""
        with self._wake:
            self._pending.append(job)
            count = len(self._pending)
            if idle:
                self._flush = True
            if idle or count == 1 or count >= BATCH_JOBS:
                self._wake.notify()

    def close(self, within_s: float) -> int:
        """Sends what is left, for at most `within_s` seconds; returns how many jobs stayed unsettled."""
        with self._wake:
            self._closing_at = time.monotonic() + within_s
            self._wake.notify()
        if self._thread.ident is not None:
            self._thread.join(within_s + self._call_s)
        return self._unsettled + len(self._pending)

    def _run(self) -> None:
        while jobs := self._next():
            acks = [job for job in jobs if not isinstance(job.outcome, Nack)]
            nacks = [job for job in jobs if isinstance(job.outcome, Nack)]
            if acks:
                self._settle(acks, self._ack)
            for at in range(0, len(nacks), NACKS_PER_CALL_MAX):
                self._settle(nacks[at : at + NACKS_PER_CALL_MAX], self._nack)

    def _next(self) -> list[HeldJob]:
        """Waits for a batch worth sending. Empty when closing and nothing is left."""
        with self._wake:
            while not self._pending:
                if self._closing_at is not None:
                    return []
                self._wake.wait()
            send_at = time.monotonic() + LINGER_S
            while len(self._pending) < BATCH_JOBS and not self._flush and self._closing_at is None:
                left_s = send_at - time.monotonic()
                if left_s <= 0:
                    break
                self._wake.wait(left_s)
            jobs = self._pending[:JOBS_PER_CALL_MAX]
            del self._pending[: len(jobs)]
            self._flush = self._flush and bool(self._pending)
            return jobs

    def _settle(self, jobs: list[HeldJob], settle: _Settle) -> None:
        tries = 0
        while jobs:
            report = self._window.settle_begins(jobs)
            target = ""
            try:
                target, stub = self._link.current()
                outcomes = settle(stub, jobs, report, self._timeout())
            except (grpc.RpcError, RelayError, ValueError) as error:
                jobs = self._after_failure(target, jobs, typed(error), tries)
                tries += 1
                continue
            self._window.settle_ended()
            self._leases.remove(jobs)
            for job, outcome in zip(jobs, outcomes, strict=False):
                # A repeat whose first try was applied finds nothing: that is success.
                gone_is_ok = tries and outcome == pb.LEASE_OUTCOME_GONE
                self._on_settled(job, pb.LEASE_OUTCOME_OK if gone_is_ok else outcome)
            return

    def _after_failure(
        self, target: str, jobs: list[HeldJob], error: RelayError, tries: int
    ) -> list[HeldJob]:
        """Waits before the next try. Returns the jobs whose leases are then still worth it."""
        self._window.settle_failed(jobs)
        # A server that is stopping cancels what reaches it late: that is Unavailable, and another try may do.
        if error.code in _REFUSED and not isinstance(error, Unavailable):
            _log.error("settle refused", jobs=len(jobs), code=error.code.name, error=str(error))
            self._give_up(jobs)
            return []
        if tries == 0:
            _log.warning(
                "settle failed, will be repeated", jobs=len(jobs), code=error.code.name, error=str(error)
            )
        self._link.failed(target, error)
        pause_s = random.uniform(0, min(_BACKOFF_MAX_S, _BACKOFF_FIRST_S * 2**tries))
        with self._wake:
            if self._closing_at is not None:
                pause_s = min(pause_s, 0.1)
        # Waiting on anything that new jobs wake would turn the pause into a busy loop.
        time.sleep(pause_s)
        now = time.monotonic()
        closed = self._closing_at is not None and now >= self._closing_at
        over = [job for job in jobs if closed or job.deadline <= now]
        self._give_up(over)
        return [job for job in jobs if job not in set(over)] if over else jobs

    def _give_up(self, jobs: list[HeldJob]) -> None:
        if not jobs:
            return
        with self._wake:
            self._unsettled += len(jobs)
        self._leases.remove(jobs)
        self._window.gone(jobs)
        self._leases.restate_window()
        for job in jobs:
            self._on_settled(job, pb.LEASE_OUTCOME_UNSPECIFIED)

    def _timeout(self) -> float:
        if self._closing_at is None:
            return self._call_s
        return max(0.1, min(self._call_s, self._closing_at - time.monotonic()))

    def _ack(
        self, stub: QueueServiceStub, jobs: list[HeldJob], report: pb.WindowReport | None, timeout: float
    ) -> Iterable[pb.LeaseOutcome.ValueType]:
        by_group: dict[object, list[HeldJob]] = {}
        for job in jobs:
            by_group.setdefault(job.group, []).append(job)
        # Outcomes come group by group: put the jobs in that order.
        jobs[:] = [job for members in by_group.values() for job in members]
        leases = [
            pb.LeaseGroup(
                queue=members[0].queue,
                lease_token=members[0].group.token,
                job_ids=[job.job_id for job in members],
            )
            for members in by_group.values()
        ]
        return stub.Ack(
            pb.AckRequest(leases=leases, window=report), timeout=timeout, metadata=self._link.metadata
        ).outcomes

    def _nack(
        self, stub: QueueServiceStub, jobs: list[HeldJob], report: pb.WindowReport | None, timeout: float
    ) -> Iterable[pb.LeaseOutcome.ValueType]:
        request = pb.NackRequest(jobs=[_nacked(job) for job in jobs], window=report)
        response = stub.Nack(request, timeout=timeout, metadata=self._link.metadata)
        return [result.outcome for result in response.results]


_Settle = Callable[
    [QueueServiceStub, list[HeldJob], "pb.WindowReport | None", float], Iterable[pb.LeaseOutcome.ValueType]
]


def _nacked(job: HeldJob) -> pb.NackedJob:
    nack = job.outcome
    assert isinstance(nack, Nack)
    return pb.NackedJob(
        queue=job.queue,
        job_id=job.job_id,
        lease_token=job.group.token,
        kind=nack.kind,
        after=None if nack.after_s is None else to_proto(timedelta(seconds=nack.after_s)),
        error=_error(nack.error),
    )


def _error(failure: JobFailure | None) -> job_pb2.JobError | None:
    if failure is None:
        return None
    return job_pb2.JobError(type=failure.type, message=failure.message, stack=failure.stack)
