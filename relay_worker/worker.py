"""Wires the parts of a worker together and owns the order in which they start and stop.

The way of a job, and the thread that takes it there:

    stream   claims.py     the reader thread turns the frames of the Claim stream into HeldJobs
    leases   leases.py     it enters them in the LeaseKeeper; the pulse thread extends their leases from then on
    slots    execution.py  it hands them to the Executor: async handlers run on the event loop, sync ones in threads of
                           a pool, CPU-bound ones in child processes, each with a thread that waits for it
    outcome  outcome.py    in the thread in which the handler ran, its result or exception becomes Ack, Nack or Drop
    outbox   outboxes.py   from there `_ended` puts the job into the Settler's Outboxes, which decide what shares a call
    settle   settle.py     the settle thread sends the calls and takes the answers, ends the leases, calls `_settled`

The reader (a Cancel frame) and the pulse (a lease that ran out, a handler over its time) stop jobs by `_stop_job`.
`stop` begins a thread of its own for the drain: it closes the stream, then the slots, then the Settler.
"""

from __future__ import annotations

import asyncio
import os
import platform
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import structlog

from relay.v1 import queue_service_pb2 as pb
from relay_client import limits
from relay_client.connection import CLIENT_VERSION, Connection, connection
from relay_worker.claims import Claims, ClaimSettings
from relay_worker.execution import Executor
from relay_worker.leases import LeaseKeeper
from relay_worker.link import ServerLink
from relay_worker.metrics import MetricsServer, WorkerMetrics
from relay_worker.model import HeldJob
from relay_worker.outcome import DROP, Nack, Outcome, word_of
from relay_worker.pulse import Pulse
from relay_worker.registry import Jobs
from relay_worker.settle import Settler
from relay_worker.window import Window

LEASE_S_MIN, LEASE_S_MAX = limits.LEASE_MS_MIN / 1000, limits.LEASE_MS_MAX / 1000
GRACE_S_MAX = 86_400
# After the grace, handlers have this long to stop.
_STOP_S = 1.0
_FLUSH_S = 5.0

_log = structlog.get_logger("relay_worker")


class WorkerFailed(Exception):
    """The worker cannot go on: the server refused it for a reason that repeating will not cure."""


class CannotListen(OSError):
    """The metrics port cannot be bound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerConfig:
    """The settings of a worker. Times in seconds; ValueError names the field and the range.

    queues       queue -> weight 1 to 100, at most 32
    concurrency  handlers at once, which is the window as well: 1 to 10 000
    lease_s      1 s to 1 h; extended every third of it
    grace_s      how long running handlers may finish after stop()
    metrics      host and port for /metrics and /healthz, or None
    """

    queues: Mapping[str, int]
    server: Connection = field(default_factory=lambda: connection("localhost:50051"))
    concurrency: int = 16
    lease_s: float = limits.LEASE_MS_DEFAULT / 1000
    grace_s: float = 20.0
    metrics: tuple[str, int] | None = None
    worker_id: str = field(
        default_factory=lambda: f"{platform.node()}:{os.getpid()}"[-limits.WORKER_ID_BYTES_MAX :]
    )

    def __post_init__(self) -> None:
        if not 1 <= len(self.queues) <= limits.QUEUES_PER_CLAIM_MAX:
            raise ValueError(
                f"queues: name 1 to {limits.QUEUES_PER_CLAIM_MAX} queues, not {len(self.queues)}"
            )
        for name, weight in self.queues.items():
            if not 1 <= weight <= limits.WEIGHT_MAX:
                raise ValueError(
                    f"queues: the weight of {name!r} is {weight}; it must be 1 to {limits.WEIGHT_MAX}"
                )
        if not 1 <= self.concurrency <= limits.IN_FLIGHT_MAX:
            raise ValueError(f"concurrency: {self.concurrency} is not 1 to {limits.IN_FLIGHT_MAX}")
        if not LEASE_S_MIN <= self.lease_s <= LEASE_S_MAX:
            raise ValueError(f"lease: {self.lease_s:g} s is not 1 s to 1 h")
        if not 0 <= self.grace_s <= GRACE_S_MAX:
            raise ValueError(f"grace: {self.grace_s:g} s is not 0 s to 1 d")
        if not 1 <= len(self.worker_id.encode()) <= limits.WORKER_ID_BYTES_MAX:
            raise ValueError(f"worker_id: must be 1 to {limits.WORKER_ID_BYTES_MAX} bytes")


class Worker:
    """A worker: `await run()` until `stop()` is called, from any thread or signal handler.

    The network lives in threads, not on the event loop: a handler that blocks the loop delays other async handlers,
    and neither leases nor settles nor shutdown.
    """

    def __init__(self, jobs: Jobs, config: WorkerConfig) -> None:
        self._config = config
        self.metrics = WorkerMetrics(lambda job_type: jobs.find(job_type) is not None)
        self._window = Window(config.concurrency)
        self._links = [ServerLink(config.server) for _ in range(3)]
        self._executor = Executor(
            jobs,
            concurrency=config.concurrency,
            on_end=self._ended,
            on_slot_free=self._slot_free,
            progress=lambda job, fraction, note: self._leases.progress(job, fraction, note),
        )
        self._leases = LeaseKeeper(
            self._links[0], self._window, lease_s=config.lease_s, on_stop=self._stop_job
        )
        self._settler = Settler(
            self._links[1], self._window, self._leases, lease_s=config.lease_s, on_settled=self._settled
        )
        self._claims = Claims(
            self._links[2],
            self._window,
            self._leases,
            self._claim_settings(),
            on_jobs=self._executor.start,
            on_fatal=self._failed,
        )
        self.metrics.observe(
            in_flight=lambda: self._window.in_flight,
            connected=lambda: float(self._claims.connected),
            silence=lambda: self._claims.silence_s(time.monotonic())[0],
        )
        self._pulse = Pulse(
            [self._leases.run_once, self._claims.watch, self._executor.watch],
            tick_s=min(0.5, config.lease_s / 20),
        )
        self._server: MetricsServer | None = None
        self._error = ""
        self._lock = threading.Lock()
        self._stopper: threading.Thread | None = None
        self.stopped = threading.Event()
        self.unsettled = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._done: asyncio.Event | None = None

    def _claim_settings(self) -> ClaimSettings:
        config = self._config
        return ClaimSettings(
            queues=config.queues,
            worker_id=config.worker_id,
            max_in_flight=config.concurrency,
            lease_s=config.lease_s,
            # A killed worker's jobs run elsewhere after this; a live one extends every third and is never touched.
            disconnect_grace_s=config.lease_s / 2,
            client_version=CLIENT_VERSION,
        )

    async def run(self) -> None:
        """Works until stopped, then drains: finishes or releases every job.

        Raises WorkerFailed, or CannotListen when the metrics port cannot be bound.
        """
        self._loop = asyncio.get_running_loop()
        self._done = asyncio.Event()
        self._executor.bind(self._loop)
        if self._config.metrics is not None:
            self._serve(*self._config.metrics)
        for part in (self._settler, self._pulse, self._claims):
            part.start()
        try:
            await self._done.wait()
        except asyncio.CancelledError:
            self.stop()
            await asyncio.shield(self._done.wait())
            raise
        finally:
            await self._executor.join()
        if self._error:
            raise WorkerFailed(self._error)

    def stop(self) -> None:
        """Begins to drain. Returns at once; repeating it changes nothing."""
        with self._lock:
            if self._stopper is not None:
                return
            # Not on the loop: a handler may be blocking it, and the grace must pass all the same.
            self._stopper = threading.Thread(target=self._drain, name="relay-drain", daemon=True)
        self._stopper.start()

    def _drain(self) -> None:
        _log.info("draining", in_flight=self._window.in_flight, grace_s=self._config.grace_s)
        grace_ends = time.monotonic() + self._config.grace_s
        self._claims.stop()
        if not self._executor.drain(max(0.0, grace_ends - time.monotonic())):
            left = self._executor.stop_all(_STOP_S)
            if left:
                _log.warning("handlers did not stop; their jobs were released", handlers=left)
        self.unsettled = self._settler.close(_FLUSH_S)
        self._pulse.stop()
        self._leases.close()
        self._executor.close()
        for link in self._links:
            link.close()
        if self._server is not None:
            self._server.close()
        _log.info("stopped", unsettled=self.unsettled)
        self.stopped.set()
        if self._loop is not None and self._done is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._done.set)

    def health(self) -> str:
        """An empty text when well; otherwise the reason, for people."""
        if self._stopper is not None:
            return "draining"
        silence_s, limit_s = self._claims.silence_s(time.monotonic())
        if silence_s > limit_s:
            return f"no frame from the server for {silence_s:.0f} s (limit {limit_s:.0f} s)"
        return ""

    def _serve(self, host: str, port: int) -> None:
        try:
            self._server = MetricsServer(host, port, self.metrics, self.health)
        except OSError as error:
            raise CannotListen(error.errno, error.strerror) from error
        self._server.start()
        _log.info("metrics", url=f"http://{host}:{self._server.port}/metrics")

    def _failed(self, error: str) -> None:
        self._error = error
        self.stop()

    def _stop_job(self, job: HeldJob, outcome: pb.LeaseOutcome.ValueType) -> None:
        if outcome != pb.LEASE_OUTCOME_CANCELLED:
            self.metrics.lease_losses.inc()
        _log.warning("job stopped", job_id=job.job_id, queue=job.queue, outcome=_name_of(outcome))
        self._executor.stop(job, outcome)

    def _ended(self, job: HeldJob, outcome: Outcome, ran_s: float, idle: bool) -> None:
        self.metrics.ended(job.type, ran_s)
        if outcome is DROP:
            self._leases.remove([job])
            self._window.gone([job])
            self._leases.restate_window()
            self.metrics.settled(job.type, "lost")
            return
        if isinstance(outcome, Nack) and outcome.error is not None:
            _log.warning(
                "job failed",
                job_id=job.job_id,
                queue=job.queue,
                job_type=job.type,
                attempt=job.attempt,
                kind=word_of(outcome),
                error_type=outcome.error.type,
                error=outcome.error.message,
            )
        self._settler.add(job, idle=idle)

    def _slot_free(self, job: HeldJob) -> None:
        if self._window.slot_free(job):
            self._leases.restate_window()

    def _settled(self, job: HeldJob, outcome: pb.LeaseOutcome.ValueType) -> None:
        if outcome in {pb.LEASE_OUTCOME_OK, pb.LEASE_OUTCOME_CANCELLED}:
            assert job.outcome is not None
            word = word_of(job.outcome)
        elif outcome == pb.LEASE_OUTCOME_UNSPECIFIED:
            word = "unsettled"
        else:
            word = "lost"
            self.metrics.lease_losses.inc()
            _log.warning("settled too late", job_id=job.job_id, queue=job.queue, outcome=_name_of(outcome))
        self.metrics.settled(job.type, word)


def _name_of(outcome: pb.LeaseOutcome.ValueType) -> str:
    """The outcome's name; its number when a later version of the server added it."""
    return pb.LeaseOutcome.Name(outcome) if outcome in pb.LeaseOutcome.values() else str(outcome)
