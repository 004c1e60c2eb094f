"""Settles jobs: gathers Acks and Nacks into few calls, repeated until they are answered or their leases are over."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import grpc
import structlog

from relay.v1 import job_pb2
from relay.v1 import queue_service_pb2 as pb
from relay.v1.queue_service_pb2_grpc import QueueServiceStub
from relay_client.durations import to_proto
from relay_client.errors import RelayError, Unavailable
from relay_worker.leases import LeaseKeeper
from relay_worker.link import ServerLink, typed
from relay_worker.model import HeldJob
from relay_worker.outboxes import Call, Kind, Outboxes
from relay_worker.outcome import JobFailure, Nack
from relay_worker.window import Window

_BACKOFF_FIRST_S = 0.05
_BACKOFF_MAX_S = 1.0
_CALL_S_MAX = 5.0
# A worker that ends has little time to try again.
_CLOSING_PAUSE_S = 0.1

# Repeating cannot help: the request itself was refused.
_REFUSED = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.UNAUTHENTICATED,
    # The channel was closed on this side.
    grpc.StatusCode.CANCELLED,
}

OnSettled = Callable[[HeldJob, pb.LeaseOutcome.ValueType], None]
_Answer = tuple[Call, str, "grpc.Future[Any]"]  # the call, where it was sent, and its future

_log = structlog.get_logger("relay_worker.settle")


class Settler:
    """A thread that settles finished jobs and takes the answers. `add` may be called from any thread and never waits.

    Calls are futures, and each queue has its own course of repeats: one that is slow or fails delays no other.
    """

    def __init__(
        self, link: ServerLink, window: Window, leases: LeaseKeeper, *, lease_s: float, on_settled: OnSettled
    ) -> None:
        self._link = link
        self._window = window
        self._leases = leases
        self._on_settled = on_settled
        self._call_s = min(_CALL_S_MAX, max(0.5, lease_s / 3))
        self._wake = threading.Condition()
        self._outboxes = Outboxes()
        self._answers: list[_Answer] = []
        self._closing_at: float | None = None
        self._given_up = 0
        self._thread = threading.Thread(target=self._run, name="relay-settle", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def add(self, job: HeldJob, *, idle: bool) -> None:
        """Takes a job whose `outcome` is Ack or Nack. `idle`: no other job runs that could share its call."""
        with self._wake:
            if self._outboxes.add(job, idle=idle):
                self._wake.notify()

    def close(self, within_s: float) -> int:
        """Sends what is left, for at most `within_s` seconds; returns how many jobs stayed unsettled."""
        with self._wake:
            now = time.monotonic()
            self._closing_at = now + within_s
            self._outboxes.hurry(now + _CLOSING_PAUSE_S)
            self._wake.notify()
        if self._thread.ident is not None:
            self._thread.join(within_s + self._call_s)
        return self._given_up + self._outboxes.unsettled

    def _run(self) -> None:
        while (todo := self._next()) is not None:
            answers, over, calls = todo
            for call, target, answer in answers:
                self._apply(call, target, answer)
            self._give_up(over)
            for call in calls:
                self._send(call)

    def _next(self) -> tuple[list[_Answer], list[HeldJob], list[Call]] | None:
        """Waits for something to do: answers to apply, or jobs to give up and calls to send. None at the end."""
        with self._wake:
            while True:
                if self._answers:
                    answers, self._answers = self._answers, []
                    return answers, [], []
                now = time.monotonic()
                closing = self._closing_at is not None
                late = self._closing_at is not None and now >= self._closing_at
                over = self._outboxes.take_all() if late else self._outboxes.take_ended(now)
                calls = self._outboxes.due(now, closing=closing)
                if over or calls:
                    return [], over, calls
                if closing and not self._outboxes.unsettled:
                    return None
                self._wake.wait(self._outboxes.wait_s(now))

    def _send(self, call: Call) -> None:
        report = self._window.settle_begins(call.jobs)
        target = ""
        try:
            target, stub = self._link.current()
            answer = self._request(stub, call, report)
        except (grpc.RpcError, RelayError, ValueError) as error:
            self._failed(call, target, typed(error))
            return
        answer.add_done_callback(lambda answer: self._answered(call, target, answer))

    def _request(
        self, stub: QueueServiceStub, call: Call, report: pb.WindowReport | None
    ) -> grpc.Future[Any]:
        timeout, metadata = self._timeout(), self._link.metadata
        if call.kind is Kind.ACK:
            return stub.Ack.future(_ack(call.jobs, report), timeout=timeout, metadata=metadata)
        return stub.Nack.future(_nack(call.jobs, report), timeout=timeout, metadata=metadata)

    def _answered(self, call: Call, target: str, answer: grpc.Future[Any]) -> None:
        with self._wake:
            self._answers.append((call, target, answer))
            self._wake.notify()

    def _apply(self, call: Call, target: str, answer: grpc.Future[Any]) -> None:
        try:
            response = answer.result()
        except (grpc.RpcError, grpc.FutureCancelledError) as error:
            self._failed(call, target, typed(error))
            return
        with self._wake:
            self._outboxes.answered(call, time.monotonic())
        self._window.settle_ended()
        self._leases.remove(call.jobs)
        is_ack = call.kind is Kind.ACK
        outcomes = response.outcomes if is_ack else [result.outcome for result in response.results]
        for job, outcome in zip(call.jobs, outcomes, strict=False):
            # If the first try was applied and its answer lost, the repeat finds no job: that is success.
            gone_is_ok = job.tried and outcome == pb.LEASE_OUTCOME_GONE
            self._on_settled(job, pb.LEASE_OUTCOME_OK if gone_is_ok else outcome)

    def _failed(self, call: Call, target: str, error: RelayError) -> None:
        """Has the jobs sent again after a pause, or gives them up when the server refused them for good."""
        self._window.settle_failed(call.jobs)
        queues = [outbox.queue for outbox in call.outboxes]
        # A server that is stopping cancels late calls: that error is Unavailable, and worth another try.
        refused = error.code in _REFUSED and not isinstance(error, Unavailable)
        if refused and len(queues) == 1:
            _log.error(
                "settle refused",
                queue=queues[0],
                jobs=len(call.jobs),
                code=error.code.name,
                error=str(error),
            )
            with self._wake:
                self._outboxes.dropped(call)
            self._give_up(call.jobs)
            return
        failures = max(outbox.failures for outbox in call.outboxes)
        if not failures:
            _log.warning(
                "settle failed, will be repeated",
                queues=queues,
                jobs=len(call.jobs),
                code=error.code.name,
                error=str(error),
            )
        self._link.failed(target, error)
        # After a refused call of several queues, each queue sends its jobs alone, at once.
        pause_s = 0.0 if refused else random.uniform(0, min(_BACKOFF_MAX_S, _BACKOFF_FIRST_S * 2**failures))
        with self._wake:
            closing = self._closing_at is not None
            self._outboxes.failed(
                call, time.monotonic(), min(pause_s, _CLOSING_PAUSE_S) if closing else pause_s
            )

    def _give_up(self, jobs: list[HeldJob]) -> None:
        if not jobs:
            return
        self._given_up += len(jobs)
        self._leases.remove(jobs)
        self._window.gone(jobs)
        self._leases.restate_window()
        for job in jobs:
            self._on_settled(job, pb.LEASE_OUTCOME_UNSPECIFIED)

    def _timeout(self) -> float:
        if self._closing_at is None:
            return self._call_s
        return max(0.1, min(self._call_s, self._closing_at - time.monotonic()))


def _ack(jobs: list[HeldJob], report: pb.WindowReport | None) -> pb.AckRequest:
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
    return pb.AckRequest(leases=leases, window=report)


def _nack(jobs: list[HeldJob], report: pb.WindowReport | None) -> pb.NackRequest:
    return pb.NackRequest(jobs=[_nacked(job) for job in jobs], window=report)


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
