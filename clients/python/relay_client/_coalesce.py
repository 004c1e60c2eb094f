"""Natural batching across threads: callers of one queue share calls, and no thread is made for it.

The first caller sends its own job at once. Callers that come while that call is in flight wait in line; when it is
answered, the one of them with the latest deadline sends the whole line in one call and hands the answers out. Every
other caller can give up at its own deadline without cutting that call short.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

import grpc

from relay.v1 import job_pb2
from relay_client._batches import COALESCED_BYTES_MAX, Result, failures, size_of
from relay_client._retry import SLACK
from relay_client.errors import DeadlineExceeded, RelayError
from relay_client.jobs import Enqueued
from relay_client.limits import BATCH_JOBS_MAX

NOT_SENT: Final = "the timeout passed while earlier calls were unanswered; the job was not sent"
UNKNOWN: Final = "the timeout passed before a server answered; whether the job was accepted is not known"

Send = Callable[[str, list[job_pb2.JobSpec], float], list[Result]]


class _Caller:
    """One waiting call. `lead` is the batch it must send; `result` is its answer."""

    __slots__ = ("deadline", "job", "lead", "result", "size", "woken")

    def __init__(self, job: job_pb2.JobSpec, deadline: float) -> None:
        self.job = job
        self.size = size_of(job)
        self.deadline = deadline
        self.lead: list[_Caller] | None = None
        self.result: Result | None = None
        self.woken = threading.Event()


class _Line:
    """The callers of a queue that wait while `leader` makes a call for it."""

    __slots__ = ("leader", "waiting")

    def __init__(self, leader: _Caller) -> None:
        self.leader = leader
        self.waiting: deque[_Caller] = deque()


class Coalescer:
    """Shares calls between threads; `send(queue, jobs, deadline)` makes one, and may raise RelayError for all of it."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._lock = threading.Lock()
        self._lines: dict[str, _Line] = {}  # a queue is here while a call for it is in flight

    def enqueue(self, queue: str, job: job_pb2.JobSpec, deadline: float) -> Enqueued:
        """Sends the job, alone or with others; RelayError says why it was not accepted."""
        caller = _Caller(job, deadline)
        try:
            self._join(queue, caller)
            if caller.lead is None:
                self._wait(queue, caller)
            if caller.lead is not None:
                self._lead(queue, caller.lead, caller.deadline)
        except (
            BaseException
        ):  # Ctrl-C in the main thread, at any point: the line may not be left without a leader
            self._leave(queue, caller)
            raise
        if isinstance(caller.result, Enqueued):
            return caller.result
        raise caller.result or DeadlineExceeded(UNKNOWN, code=grpc.StatusCode.DEADLINE_EXCEEDED)

    def _join(self, queue: str, caller: _Caller) -> None:
        with self._lock:
            line = self._lines.get(queue)
            if line is not None:
                line.waiting.append(caller)
                return
            caller.lead = [caller]
            self._lines[queue] = _Line(caller)

    def _wait(self, queue: str, caller: _Caller) -> None:
        caller.woken.wait(max(0.0, caller.deadline + SLACK - time.monotonic()))
        with self._lock:
            line = self._lines.get(queue)
            if line is not None and caller in line.waiting:
                line.waiting.remove(caller)
                caller.result = DeadlineExceeded(NOT_SENT, code=grpc.StatusCode.DEADLINE_EXCEEDED)

    def _leave(self, queue: str, caller: _Caller) -> None:
        with self._lock:
            line = self._lines.get(queue)
            if line is None:
                return
            if line.leader is not caller:
                if caller in line.waiting:
                    line.waiting.remove(caller)
                return
            for member in reversed(caller.lead or []):
                if member.result is not None:
                    member.woken.set()
                elif member is not caller:
                    # If it was sent already, the repeat is recognised by the job's id.
                    line.waiting.appendleft(member)
            self._hand_over(queue, line)

    def _lead(self, queue: str, batch: list[_Caller], deadline: float) -> None:
        results = failures(RelayError("the call was interrupted", code=grpc.StatusCode.CANCELLED), len(batch))
        try:
            results = self._send(queue, [member.job for member in batch], deadline)
        except RelayError as error:
            results = failures(error, len(batch))
        finally:
            for member, result in zip(batch, results, strict=True):
                member.result = result
                member.woken.set()
            with self._lock:
                self._hand_over(queue, self._lines[queue])

    def _hand_over(self, queue: str, line: _Line) -> None:
        waiting = line.waiting
        if not waiting:
            del self._lines[queue]
            return
        batch: list[_Caller] = []
        size = 0
        while (
            waiting
            and len(batch) < BATCH_JOBS_MAX
            and (not batch or size + waiting[0].size <= COALESCED_BYTES_MAX)
        ):
            batch.append(waiting.popleft())
            size += batch[-1].size
        line.leader = max(batch, key=lambda member: member.deadline)
        line.leader.lead = batch
        line.leader.woken.set()
