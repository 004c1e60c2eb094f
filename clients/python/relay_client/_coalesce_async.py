"""Natural batching on asyncio: calls to one queue that run at the same time share RPCs, without a timer."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable

import grpc

from relay.v1 import job_pb2
from relay_client._batches import COALESCED_BYTES_MAX, Result, failures, size_of
from relay_client._coalesce import NOT_SENT, UNKNOWN
from relay_client._retry import SLACK
from relay_client.errors import DeadlineExceeded, RelayError
from relay_client.jobs import Enqueued
from relay_client.limits import BATCH_JOBS_MAX

SendAsync = Callable[[str, list[job_pb2.JobSpec], float], Awaitable[list[Result]]]


class _Caller:
    """One waiting call; `answer` ends as its result, an error included, or is cancelled with the caller."""

    __slots__ = ("answer", "deadline", "job", "sent", "size")

    def __init__(self, job: job_pb2.JobSpec, deadline: float) -> None:
        self.job = job
        self.size = size_of(job)
        self.deadline = deadline
        self.sent = False
        self.answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()


class AsyncCoalescer:
    """Shares calls between coroutines; `send(queue, jobs, deadline)` makes one, or raises RelayError for all of it."""

    def __init__(self, send: SendAsync) -> None:
        self._send = send
        self._lines: dict[str, deque[_Caller]] = {}  # a queue is here while a task sends for it
        self._tasks: set[asyncio.Task[None]] = set()

    async def enqueue(self, queue: str, job: job_pb2.JobSpec, deadline: float) -> Enqueued:
        """Sends the job, alone or with others; RelayError says why it was not accepted.

        The RPC is not the caller's own: a cancelled caller takes its job out of the line if it was not sent yet, and
        changes nothing for the others.
        """
        caller = _Caller(job, deadline)
        line = self._lines.get(queue)
        if line is None:
            line = self._lines[queue] = deque()
            task = asyncio.create_task(self._drain(queue, line), name=f"relay-enqueue-{queue}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        line.append(caller)
        try:
            async with asyncio.timeout(max(0.0, deadline + SLACK - time.monotonic())):
                result = await caller.answer
        except TimeoutError:
            text = UNKNOWN if caller.sent else NOT_SENT
            raise DeadlineExceeded(text, code=grpc.StatusCode.DEADLINE_EXCEEDED) from None
        if isinstance(result, RelayError):
            raise result
        return result

    async def _drain(self, queue: str, line: deque[_Caller]) -> None:
        try:
            while batch := _take(line):
                interrupted = RelayError(
                    "the client was closed during the call", code=grpc.StatusCode.CANCELLED
                )
                results = failures(interrupted, len(batch))
                try:
                    # The latest, so that the call is cut short for nobody; the others give up on their own.
                    deadline = max(caller.deadline for caller in batch)
                    results = await self._send(queue, [caller.job for caller in batch], deadline)
                except RelayError as error:
                    results = failures(error, len(batch))
                finally:
                    _answer(batch, results)
        finally:
            del self._lines[queue]
            _refuse(line)

    async def close(self) -> None:
        """Ends the calls in flight; their callers get RelayError."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # A task cancelled before its first step has not cleaned up after itself.
        for line in self._lines.values():
            _refuse(line)
        self._lines.clear()


def _take(line: deque[_Caller]) -> list[_Caller]:
    batch: list[_Caller] = []
    size = 0
    while line and len(batch) < BATCH_JOBS_MAX and (not batch or size + line[0].size <= COALESCED_BYTES_MAX):
        caller = line.popleft()
        if caller.answer.done():
            continue  # it gave up while in line
        caller.sent = True
        batch.append(caller)
        size += caller.size
    return batch


def _refuse(line: deque[_Caller]) -> None:
    closed = RelayError("this client is closed; the job was not sent", code=grpc.StatusCode.CANCELLED)
    _answer(line, failures(closed, len(line)))


def _answer(callers: "deque[_Caller] | list[_Caller]", results: list[Result]) -> None:
    for caller, result in zip(callers, results, strict=True):
        if not caller.answer.done():
            caller.answer.set_result(result)
