"""Runs handlers: each under its deadline, never more at once than there are slots, and stops those that must stop."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import structlog

from relay.v1 import queue_service_pb2 as pb
from relay_worker import tracing
from relay_worker.context import Context
from relay_worker.cpu_pool import CpuPool, ProcessDied
from relay_worker.model import HeldJob
from relay_worker.outcome import (
    DROP,
    RELEASE,
    MaxRuntimeExceeded,
    Outcome,
    StopReason,
    UnknownJobType,
    outcome_of,
    outcome_of_stop,
)
from relay_worker.registry import Handler, Jobs

_log = structlog.get_logger("relay_worker.execution")

# (job, outcome, seconds it ran, whether nothing else runs): called once for each job, from any thread.
OnEnd = Callable[[HeldJob, Outcome, float, bool], None]
Progress = Callable[[HeldJob, float, str], None]


class Executor:
    """The slots. Async handlers run on the event loop; sync and CPU-bound ones in threads that do not need it."""

    def __init__(
        self,
        jobs: Jobs,
        *,
        concurrency: int,
        on_end: OnEnd,
        on_slot_free: Callable[[HeldJob], None],
        progress: Progress,
    ) -> None:
        self._jobs = jobs
        self._concurrency = concurrency
        self._on_end = on_end
        self._on_slot_free = on_slot_free
        self._progress = progress
        self._loop: asyncio.AbstractEventLoop | None = None
        self._threads = ThreadPoolExecutor(concurrency, thread_name_prefix="relay-job")
        self._cpu_threads = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="relay-cpu")
        self._cpu = CpuPool()
        self._lock = threading.Lock()
        self._quiet = threading.Condition(self._lock)
        self._busy: set[HeldJob] = set()
        self._waiting: deque[HeldJob] = deque()
        self._limited: dict[HeldJob, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def bind(self, loop: asyncio.AbstractEventLoop) -> None:
        """The loop that async handlers run on."""
        self._loop = loop

    def start(self, jobs: Iterable[HeldJob]) -> None:
        """Starts jobs, in any thread. A job without a slot waits; a server that respects the window never sends one."""
        with self._lock:
            self._waiting.extend(jobs)
            begin = self._next()
        self._begin(begin)

    def _next(self) -> list[HeldJob]:
        begin: list[HeldJob] = []
        while self._waiting and len(self._busy) < self._concurrency:
            job = self._waiting.popleft()
            self._busy.add(job)
            begin.append(job)
        return begin

    def _begin(self, jobs: list[HeldJob]) -> None:
        on_loop: list[tuple[HeldJob, Handler]] = []
        for job in jobs:
            handler = self._jobs.find(job.type)
            if handler is None:
                error = UnknownJobType(f"this worker has no handler for job type {job.type!r}")
                self._end(job, outcome_of(error), 0.0)
            elif job.stop is not StopReason.NO:
                self._end(job, outcome_of_stop(job.stop), 0.0)
            elif handler.is_async:
                on_loop.append((job, handler))
            else:
                (self._cpu_threads if handler.cpu else self._threads).submit(self._run_sync, job, handler)
        if on_loop:
            assert self._loop is not None
            self._loop.call_soon_threadsafe(self._begin_async, on_loop)

    def _begin_async(self, jobs: list[tuple[HeldJob, Handler]]) -> None:
        for job, handler in jobs:
            # A task for each job costs some 5 µs, and keeps its context variables and its cancellation its own.
            task = asyncio.get_running_loop().create_task(self._run_async(job, handler))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _run_async(self, job: HeldJob, handler: Handler) -> None:
        began = time.perf_counter()
        error: BaseException | None = None
        limit: asyncio.Timeout | None = None
        limit_s = _limit_s(job, handler)
        task = asyncio.current_task()
        assert task is not None
        if job.stop is not StopReason.NO:
            self._end(job, outcome_of_stop(job.stop), 0.0)
            return
        job.interrupt = task.cancel
        span = tracing.begin(job)
        try:
            arguments = handler.arguments(job.payload, job.content_type, lambda: self._context(job))
            if limit_s is None:
                await handler.function(*arguments)
            else:
                async with asyncio.timeout(limit_s) as limit:
                    await handler.function(*arguments)
        except asyncio.CancelledError as cancelled:
            error = cancelled
            raise
        except BaseException as raised:  # noqa: BLE001 - whatever the handler raises is its job's outcome
            error = raised
            if limit is not None and limit.expired() and isinstance(raised, TimeoutError):
                error = _too_long(handler, limit_s or 0.0)
        finally:
            job.interrupt = None
            outcome = outcome_of(error, stop=job.stop)
            if span is not None:
                span.end(outcome)
            self._end(job, outcome, time.perf_counter() - began)

    def _run_sync(self, job: HeldJob, handler: Handler) -> None:
        began = time.perf_counter()
        limit_s = _limit_s(job, handler)
        if limit_s is not None:
            with self._lock:
                self._limited[job] = time.monotonic() + limit_s
        span = tracing.begin(job)
        outcome = self._call(job, handler)
        with self._lock:
            over = limit_s is not None and self._limited.pop(job, None) is None
        if over and handler.cpu and job.stop is StopReason.NO:
            outcome = outcome_of(_too_long(handler, limit_s or 0.0))
        elif over and job.outcome is not None:
            _log.info("handler ended after its time", job_id=job.job_id, job_type=job.type)
        if span is not None:
            span.end(job.outcome or outcome)
        self._end(job, outcome, time.perf_counter() - began)

    def _call(self, job: HeldJob, handler: Handler) -> Outcome:
        if job.stop is not StopReason.NO:
            return outcome_of_stop(job.stop)
        try:
            if handler.cpu:
                return self._call_process(job, handler)
            handler.function(*handler.arguments(job.payload, job.content_type, lambda: self._context(job)))
        except BaseException as error:  # noqa: BLE001 - whatever the handler raises is its job's outcome
            return outcome_of(error, stop=job.stop)
        return outcome_of(None, stop=job.stop)

    def _call_process(self, job: HeldJob, handler: Handler) -> Outcome:
        try:
            outcome = self._cpu.run(handler.function, job, lambda part, note: self._progress(job, part, note))
        except ProcessDied as died:
            return outcome_of(died, stop=job.stop)
        return DROP if job.stop is StopReason.LOST else outcome

    def _context(self, job: HeldJob) -> Context:
        return Context(job, lambda fraction, note: self._progress(job, fraction, note), job.cancelled)

    def stop(self, job: HeldJob, outcome: pb.LeaseOutcome.ValueType) -> None:
        """The lease is lost or the job cancelled: ends its handler, from any thread."""
        self._interrupt(
            job, StopReason.CANCELLED if outcome == pb.LEASE_OUTCOME_CANCELLED else StopReason.LOST
        )

    def _interrupt(self, job: HeldJob, why: StopReason) -> None:
        with self._lock:
            if job.stop is StopReason.LOST or job.stop is why:
                return
            job.stop = why
            waited = job in self._waiting
            if waited:
                self._waiting.remove(job)
        job.cancelled.set()
        if waited:
            self._end(job, outcome_of_stop(why), 0.0)
            return
        interrupt = job.interrupt
        if interrupt is None:
            return
        handler = self._jobs.find(job.type)
        if handler is not None and handler.is_async and self._loop is not None:
            self._loop.call_soon_threadsafe(_cancel, job)
        else:
            interrupt()

    def watch(self, now: float) -> float:
        """Ends sync handlers whose time is over. Returns seconds until the next look."""
        with self._lock:
            over = [job for job, at in self._limited.items() if at <= now]
            for job in over:
                del self._limited[job]
            wait_s = min(self._limited.values(), default=now + 1.0) - now
        for job in over:
            job.cancelled.set()
            if (kill := job.interrupt) is not None:
                kill()
                continue
            # A thread cannot be killed. The job is settled now; its slot stays taken until the thread ends.
            handler = self._jobs.find(job.type)
            if handler is not None and not handler.cpu and job.stop is StopReason.NO:
                _log.warning(
                    "handler over its time still runs and keeps its slot",
                    job_id=job.job_id,
                    job_type=job.type,
                )
                self._settle(job, outcome_of(_too_long(handler, now - job.received_at), stop=job.stop), 0.0)
        return wait_s

    def drain(self, within_s: float) -> bool:
        """Releases jobs that have not started and waits for the others. False when some still run after `within_s`."""
        with self._lock:
            unstarted = list(self._waiting)
            self._waiting.clear()
        for job in unstarted:
            self._end(job, RELEASE, 0.0)
        with self._quiet:
            return self._quiet.wait_for(lambda: not self._busy, within_s)

    def stop_all(self, within_s: float) -> int:
        """Stops all handlers and releases their jobs. Returns how many handlers did not stop in `within_s`."""
        with self._lock:
            jobs = list(self._busy)
        for job in jobs:
            self._interrupt(job, StopReason.SHUTDOWN)
        with self._quiet:
            self._quiet.wait_for(lambda: not self._busy, within_s)
            left = list(self._busy)
        for job in left:
            self._settle(job, outcome_of_stop(job.stop), 0.0)
        return len(left)

    def close(self) -> None:
        """Ends the pools without waiting for threads that hang."""
        self._cpu.close()
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._cpu_threads.shutdown(wait=False, cancel_futures=True)

    async def join(self) -> None:
        """Waits, on the loop, for async handlers that were cancelled."""
        tasks = list(self._tasks)
        if tasks:
            await asyncio.wait(tasks, timeout=1.0)

    def _end(self, job: HeldJob, outcome: Outcome, ran_s: float) -> None:
        """The handler has ended: its slot is free, and this outcome counts unless the job has one already."""
        with self._lock:
            self._busy.discard(job)
            begin = self._next()
            if not self._busy:
                self._quiet.notify_all()
        first = self._settle(job, outcome, ran_s, ended=True)
        if not first:
            self._on_slot_free(job)
        if begin:
            self._begin(begin)

    def _settle(self, job: HeldJob, outcome: Outcome, ran_s: float, *, ended: bool = False) -> bool:
        """Passes the first outcome of a job on. False when the job has one already."""
        with self._lock:
            if job.outcome is not None:
                return False
            job.outcome = outcome
            idle = not self._busy
        if ended:
            job.busy = False
        self._on_end(job, outcome, ran_s, idle)
        return True


def _cancel(job: HeldJob) -> None:
    # Between the call and this turn of the loop the handler may have ended.
    if job.interrupt is not None:
        job.interrupt()


def _limit_s(job: HeldJob, handler: Handler) -> float | None:
    """Seconds the handler may still run: its own limit from now, the job's from its claim, whichever ends first."""
    limits = []
    if handler.max_runtime_s:
        limits.append(handler.max_runtime_s)
    if job.max_runtime_s:
        limits.append(max(0.0, job.received_at + job.max_runtime_s - time.monotonic()))
    return min(limits) if limits else None


def _too_long(handler: Handler, limit_s: float) -> MaxRuntimeExceeded:
    return MaxRuntimeExceeded(
        f"{handler.type}: the handler ran longer than its {limit_s:g} s and was stopped"
    )
