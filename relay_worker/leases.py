"""Keeps leases alive: knows every held job, extends its lease in time, and reports lost ones."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

import grpc
import structlog

from relay.v1 import queue_service_pb2 as pb
from relay_client.errors import RelayError
from relay_client.limits import BATCH_JOBS_MAX, IN_FLIGHT_MAX
from relay_worker.link import ServerLink, typed
from relay_worker.model import HeldJob, LeaseGroup, seconds
from relay_worker.window import Window

_PROGRESS_EVERY_S = 1.0
_RETRY_EVERY_S = 1.0
_EXTEND_EVERY_MIN_S = 0.1

OnStop = Callable[[HeldJob, pb.LeaseOutcome.ValueType], None]

_log = structlog.get_logger("relay_worker.leases")


class LeaseKeeper:
    """The table of held jobs and their heartbeat.

    `run_once` never waits for an answer: calls are futures, so a silent server cannot keep it from noticing
    that a lease has run out.
    """

    def __init__(self, link: ServerLink, window: Window, *, lease_s: float, on_stop: OnStop) -> None:
        self._link = link
        self._window = window
        self._on_stop = on_stop
        self._lock = threading.Lock()
        self._groups: set[LeaseGroup] = set()
        # (token, job id) of all held jobs: names a lease.
        self._deliveries: set[tuple[bytes, str]] = set()
        self._with_progress: set[HeldJob] = set()
        self._progress_at = 0.0
        self._restate = False
        self._calls: set[grpc.Future[pb.ExtendResponse]] = set()
        self.extend_every_s = lease_s / 3

    def add(self, group: LeaseGroup) -> list[HeldJob]:
        """Keeps the jobs of a frame alive from now on, whether or not a handler has started.

        Returns the jobs to start. One that is held under this token already was delivered twice: it runs already.
        """
        with self._lock:
            for job_id in [one for one in group.jobs if (group.token, one) in self._deliveries]:
                del group.jobs[job_id]
            self._deliveries.update((group.token, job_id) for job_id in group.jobs)
            if group.jobs:
                self._groups.add(group)
            return list(group.jobs.values())

    def remove(self, jobs: Iterable[HeldJob]) -> None:
        """Forgets jobs that are settled or lost: their leases are no longer extended."""
        with self._lock:
            for job in jobs:
                job.group.jobs.pop(job.job_id, None)
                self._deliveries.discard((job.group.token, job.job_id))
                self._with_progress.discard(job)
                if not job.group.jobs:
                    self._groups.discard(job.group)

    def held(self) -> list[pb.LeaseGroup]:
        """The leases that a reconnecting stream names, of at most 10 000 jobs; the others are extended all the same."""
        named, room = list[pb.LeaseGroup](), IN_FLIGHT_MAX
        with self._lock:
            for group in self._groups:
                if room <= 0:
                    break
                named.append(_message(group, list(group.jobs)[:room]))
                room -= len(group.jobs)
        return named

    def progress(self, job: HeldJob, fraction: float, note: str) -> None:
        """Takes a progress for one of the next heartbeats; a later one replaces it."""
        job.progress = (fraction, note)
        with self._lock:
            self._with_progress.add(job)

    def restate_window(self) -> None:
        """Has the window sent to the server at the next turn."""
        self._restate = True

    def stop(self, jobs: Iterable[pb.CancelledJob]) -> None:
        """Stops the jobs that the server cancelled."""
        for cancelled in jobs:
            for job in self._named(cancelled):
                self._stop(job, cancelled.outcome)

    def _named(self, cancelled: pb.CancelledJob) -> list[HeldJob]:
        name = cancelled.job_id
        with self._lock:
            found = [g.jobs[name] for g in self._groups if g.queue == cancelled.queue and name in g.jobs]
        if cancelled.outcome == pb.LEASE_OUTCOME_CANCELLED or len(found) < 2:
            return found
        # Held under two tokens: the server has just given the newer one, so the older one is lost.
        return sorted(found, key=lambda job: job.epoch)[:-1]

    def _stop(self, job: HeldJob, outcome: pb.LeaseOutcome.ValueType) -> None:
        if job.outcome is not None:
            return  # it is being settled, and the answer brings the outcome
        if outcome != pb.LEASE_OUTCOME_CANCELLED:
            self.remove([job])
        self._on_stop(job, outcome)

    def run_once(self, now: float) -> float:
        """Sends the heartbeats that are due and reports ended leases. Returns seconds until the next call, at most."""
        with self._lock:
            expired = [job for group in self._groups if group.deadline <= now for job in _expired(group, now)]
        # Before the heartbeats are built: one for a lease that has ended could revive a job that nobody runs.
        for job in expired:
            self._stop(job, pb.LEASE_OUTCOME_LEASE_LOST)
        with self._lock:
            batches = self._due(now)
            wait_s = min((min(g.extend_at, g.deadline) for g in self._groups), default=now + 1.0) - now
        for batch in batches:
            self._extend(batch, now)
        if self._restate and (report := self._window.restatement()) is not None:
            self._restate = False
            self._send(pb.ExtendRequest(window=report), [], now)
        return wait_s

    def _due(self, now: float) -> list[list[HeldJob]]:
        """Jobs to extend, 500 a call. When one is due, those that are due soon go with it."""
        jobs: list[HeldJob] = []
        if any(group.extend_at <= now for group in self._groups):
            soon = now + self.extend_every_s / 4
            for group in self._groups:
                if group.extend_at <= soon:
                    group.extend_at = now + self.extend_every_s
                    jobs += group.jobs.values()
        elif self._with_progress and now >= self._progress_at:
            jobs = list(self._with_progress)
        if jobs:
            self._progress_at = now + _PROGRESS_EVERY_S
            self._with_progress.difference_update(jobs)
        return [jobs[at : at + BATCH_JOBS_MAX] for at in range(0, len(jobs), BATCH_JOBS_MAX)]

    def _extend(self, jobs: list[HeldJob], now: float) -> None:
        grouped: dict[LeaseGroup, list[HeldJob]] = {}
        for job in jobs:
            grouped.setdefault(job.group, []).append(job)
        request = pb.ExtendRequest(
            leases=[_message(group, [job.job_id for job in members]) for group, members in grouped.items()],
            window=self._window.restatement(),
        )
        for job in jobs:
            if job.progress is not None:
                fraction, note = job.progress
                job.progress = None
                request.progress.add(job_id=job.job_id, fraction=fraction, note=note)
        self._send(request, [job for members in grouped.values() for job in members], now)

    def _send(self, request: pb.ExtendRequest, jobs: list[HeldJob], now: float) -> None:
        try:
            target, stub = self._link.current()
            call = stub.Extend.future(
                request, timeout=max(1.0, self.extend_every_s / 2), metadata=self._link.metadata
            )
        except (RelayError, ValueError):  # the channel was closed under us: the worker is ending
            return
        with self._lock:
            self._calls.add(call)

        def answered(call: grpc.Future[pb.ExtendResponse]) -> None:
            with self._lock:
                self._calls.discard(call)
            if call.cancelled():
                return
            raised = call.exception()
            if raised is None:
                self._apply(jobs, call.result(), now)
                return
            error = typed(raised)
            _log.warning("extend failed", jobs=len(jobs), code=error.code.name, error=str(error))
            self._link.failed(target, error)
            if not jobs:
                self._restate = True
            self._retry_soon(jobs)

        call.add_done_callback(answered)

    def _apply(self, jobs: list[HeldJob], response: pb.ExtendResponse, sent_at: float) -> None:
        stopped: list[tuple[HeldJob, pb.LeaseOutcome.ValueType]] = []
        # Counted from the request, a lease is too short by one round trip at most.
        with self._lock:
            for job, result in zip(jobs, response.results, strict=False):
                if result.outcome in {pb.LEASE_OUTCOME_OK, pb.LEASE_OUTCOME_CANCELLED}:
                    job.deadline = sent_at + seconds(result.lease_remaining)
                if result.outcome != pb.LEASE_OUTCOME_OK:
                    stopped.append((job, result.outcome))
            for group in {job.group for job in jobs}:
                self._reschedule(group, sent_at)
        for job, outcome in stopped:
            self._stop(job, outcome)

    def _reschedule(self, group: LeaseGroup, sent_at: float) -> None:
        group.deadline = min((job.deadline for job in group.jobs.values()), default=group.deadline)
        third = (group.deadline - sent_at) / 3
        group.extend_at = sent_at + max(_EXTEND_EVERY_MIN_S, min(self.extend_every_s, third))

    def _retry_soon(self, jobs: list[HeldJob]) -> None:
        soon = time.monotonic() + min(_RETRY_EVERY_S, self.extend_every_s / 3)
        with self._lock:
            for group in {job.group for job in jobs}:
                group.extend_at = min(group.extend_at, soon)

    def close(self) -> None:
        """Cancels the calls that are still on their way."""
        with self._lock:
            calls = list(self._calls)
        for call in calls:
            call.cancel()


def _expired(group: LeaseGroup, now: float) -> list[HeldJob]:
    over = [job for job in group.jobs.values() if job.deadline <= now]
    left = [job.deadline for job in group.jobs.values() if job.deadline > now]
    # Ended leases are reported once: the deadline of the group is that of the others.
    group.deadline = min(left, default=float("inf"))
    return over


def _message(group: LeaseGroup, job_ids: list[str]) -> pb.LeaseGroup:
    return pb.LeaseGroup(queue=group.queue, lease_token=group.token, job_ids=job_ids)
