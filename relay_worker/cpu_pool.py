"""Runs CPU-bound handlers in processes of their own, each of which can be killed without touching the others."""

from __future__ import annotations

import importlib
import multiprocessing
import signal
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any

from relay_client import tracing as client_tracing
from relay_worker import tracing
from relay_worker.context import Context
from relay_worker.model import CancelFlag, HeldJob, LeaseGroup
from relay_worker.outcome import Outcome, outcome_of
from relay_worker.registry import Jobs

_EXIT_WAIT_S = 1.0


class ProcessDied(Exception):
    """The process that ran the handler ended: it was killed, crashed, or left with os._exit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    """What a process needs to run one job: names and bytes only, nothing that would be unpickled into code of ours."""

    module: str
    name: str
    payload: bytes
    content_type: str
    job: Mapping[str, Any]
    trace: Mapping[str, str]


@dataclass(slots=True, eq=False)
class _Process:
    """`job` is the one it runs."""

    process: SpawnProcess
    pipe: Connection
    job: HeldJob | None = None


class CpuPool:
    """Processes made when first needed and kept for the next job. The caller bounds how many jobs run at once.

    concurrent.futures' pool is not used because one killed process breaks all of it, and the other jobs with it.
    """

    def __init__(self) -> None:
        # Never fork: gRPC's threads and locks do not survive it.
        self._spawn = multiprocessing.get_context("spawn")
        self._lock = threading.Lock()
        self._idle: list[_Process] = []
        self._all: set[_Process] = set()
        self._closed = False

    def run(
        self, function: Callable[..., Any], job: HeldJob, report: Callable[[float, str], None]
    ) -> Outcome:
        """Runs a handler in a process and waits. Raises ProcessDied when `job.interrupt` or anything else killed it."""
        worker = self._take()
        worker.job = job
        job.interrupt = lambda: self._kill(worker, job)
        healthy = False
        try:
            if job.cancelled.is_set():
                raise ProcessDied("stopped before it began")
            worker.pipe.send(_call(function, job))
            while True:
                kind, value = worker.pipe.recv()
                if kind == "outcome":
                    healthy = True
                    outcome: Outcome = value
                    return outcome
                report(*value)
        except (EOFError, OSError) as error:
            worker.process.join(_EXIT_WAIT_S)
            raise ProcessDied(
                f"the process of the handler ended with exit code {worker.process.exitcode}"
            ) from error
        finally:
            job.interrupt = None
            self._give(worker, healthy=healthy)

    def close(self) -> None:
        """Kills all processes."""
        with self._lock:
            self._closed = True
            workers = list(self._all)
        for worker in workers:
            self._end(worker)

    def _take(self) -> _Process:
        with self._lock:
            while self._idle:
                worker = self._idle.pop()
                if worker.process.is_alive():
                    return worker
                self._all.discard(worker)
        ours, theirs = self._spawn.Pipe()
        process = self._spawn.Process(target=_serve, args=(theirs,), name="relay-cpu", daemon=True)
        process.start()
        theirs.close()
        worker = _Process(process, ours)
        with self._lock:
            self._all.add(worker)
        return worker

    def _kill(self, worker: _Process, job: HeldJob) -> None:
        """Kills the process if it still runs this job; the caller may be late."""
        with self._lock:
            if worker.job is job:
                worker.process.kill()

    def _give(self, worker: _Process, *, healthy: bool) -> None:
        with self._lock:
            worker.job = None
            if healthy and not self._closed:
                self._idle.append(worker)
                return
        self._end(worker)

    def _end(self, worker: _Process) -> None:
        worker.process.kill()
        worker.process.join(_EXIT_WAIT_S)
        worker.pipe.close()
        with self._lock:
            self._all.discard(worker)


def _call(function: Callable[..., Any], job: HeldJob) -> _Call:
    return _Call(
        module=function.__module__,
        name=function.__qualname__,
        payload=job.payload,
        content_type=job.content_type,
        job={
            "job_id": job.job_id,
            "queue": job.queue,
            "type": job.type,
            "attempt": job.attempt,
            "max_attempts": job.max_attempts,
            "epoch": job.epoch,
            "idempotency_key": job.idempotency_key,
            "headers": dict(job.headers),
        },
        trace=client_tracing.current_headers(),
    )


def _serve(pipe: Connection) -> None:
    """The life of a process: one job after another until the pipe closes."""
    # Ctrl-C reaches the whole process group; the worker decides when we end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        try:
            call = pipe.recv()
        except (EOFError, OSError):
            return
        outcome = _run(call, lambda fraction, note: pipe.send(("progress", (fraction, note))))
        pipe.send(("outcome", outcome))


def _run(call: _Call, report: Callable[[float, str], None]) -> Outcome:
    try:
        function: Any = importlib.import_module(call.module)
        for part in call.name.split("."):
            function = getattr(function, part)
        # A registry of its own, so that the hints are read here as they were in the worker.
        jobs = Jobs()
        jobs.handler(call.job["type"], cpu=True)(function)
        handler = jobs.find(call.job["type"])
        assert handler is not None
        held = _held(call)
        arguments = handler.arguments(
            held.payload, held.content_type, lambda: Context(held, report, CancelFlag())
        )
        with tracing.continued(call.trace):
            handler.function(*arguments)
    except BaseException as error:  # noqa: BLE001 - whatever the handler raises is its job's outcome
        return outcome_of(error)
    return outcome_of(None)


def _held(call: _Call) -> HeldJob:
    group = LeaseGroup(queue=call.job["queue"], token=b"", jobs={}, extend_at=0, deadline=0)
    return HeldJob(
        group=group,
        payload=call.payload,
        content_type=call.content_type,
        max_runtime_s=0,
        received_at=0,
        deadline=0,
        **call.job,
    )
