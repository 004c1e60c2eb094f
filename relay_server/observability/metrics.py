"""Every metric of a server with its unit, except those of queue_totals.py; and what each script cost.

Names and units: `_seconds`, `_total`, `_jobs`. `queue` labels are bounded, the rest is "other".
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from relay_server.model import Acked, ClaimedJob, QueueSnapshot
from relay_server.observability.distributions import QUEUE_LABELS_MAX, Milliseconds, QueueLabels
from relay_server.observability.queue_totals import QueueTotals

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

_SCRIPT_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5)
_GRPC_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600)
_BATCH_BUCKETS_JOBS = (1, 2, 5, 10, 20, 50, 100, 200, 500)


class ScriptTiming(NamedTuple):
    """The cost of a script on this server since its start, as its callers measured it."""

    name: str
    calls: int
    jobs: int
    mean_s: float
    max_s: float


class Followed(Protocol):
    """A file that is read again when it changes: certificate or tokens_file."""

    @property
    def kind(self) -> str: ...

    @property
    def failing_s(self) -> float: ...


class _ScriptCost:
    __slots__ = ("calls", "jobs", "max_s", "observe", "total_s")

    def __init__(self, histogram: Histogram) -> None:
        self.calls = self.jobs = 0
        self.total_s = self.max_s = 0.0
        self.observe = histogram.observe


class Metrics:
    """One a server, with a registry of its own. Methods are called from the event loop, at most once a batch."""

    def __init__(self, *, queues_max: int = QUEUE_LABELS_MAX) -> None:
        registry = CollectorRegistry()
        process = ProcessCollector(registry=registry)
        self._labels = labels = QueueLabels(queues_max)
        self._totals = QueueTotals(labels)
        self._wait = Milliseconds("relay_job_wait_seconds", "From ready to claimed, by job.", labels)
        self._run = Milliseconds("relay_job_run_seconds", "From claimed to acked, by job.", labels)
        self._script_seconds = Histogram(
            "relay_script_seconds",
            "From sending a script to its reply; scripts of one pipeline share their time.",
            ["script"],
            buckets=_SCRIPT_BUCKETS_S,
            registry=registry,
        )
        self._batch_jobs = Histogram(
            "relay_batch_jobs",
            "Jobs in one script call.",
            ["operation"],
            buckets=_BATCH_BUCKETS_JOBS,
            registry=registry,
        )
        self._streams = Gauge("relay_streams", "Claim streams open on this server.", registry=registry)
        self._connections = Gauge(
            "relay_http_connections", "Connections of the HTTP listener.", registry=registry
        )
        self._handled = Counter(
            "relay_grpc_handled",
            "RPCs that ended, by method and code.",
            ["method", "code"],
            registry=registry,
        )
        self._grpc_seconds = Histogram(
            "relay_grpc_seconds",
            "How long RPCs took, streams from start to end.",
            ["method"],
            buckets=_GRPC_BUCKETS_S,
            registry=registry,
        )
        self._runs = Counter("relay_loop_runs", "Runs of a background loop.", ["loop"], registry=registry)
        self._failures = Counter(
            "relay_loop_failures", "Runs of a background loop that failed.", ["loop"], registry=registry
        )
        self._moved = Counter(
            "relay_loop_jobs",
            "Jobs that a background loop reaped or promoted, and how many of those it buried.",
            ["loop", "what"],
            registry=registry,
        )
        self._reload_failures = Counter(
            "relay_reload_failures",
            "Attempts to read a changed file of credentials that failed.",
            ["file"],
            registry=registry,
        )
        self._reload_failing = Gauge(
            "relay_reload_failing_seconds",
            "For how long a changed file of credentials could not be read; 0 when all is current.",
            ["file"],
            registry=registry,
        )
        self._plain: tuple[Collector, ...] = (
            process,
            self._script_seconds,
            self._batch_jobs,
            self._streams,
            self._connections,
            self._handled,
            self._grpc_seconds,
            self._runs,
            self._failures,
            self._moved,
            self._reload_failures,
            self._reload_failing,
        )
        self._scripts: dict[str, _ScriptCost] = {}
        # Kept, because finding a child by its labels costs more than an observation.
        self._batches: dict[str, Histogram] = {}
        self._methods: dict[tuple[str, str], tuple[Counter, Histogram]] = {}

    def parts(self) -> Iterator[str]:
        """The text of `/metrics`, of type CONTENT_TYPE, in parts that each take a few ms at most."""
        for collector in self._plain:
            yield generate_latest(_only(collector)).decode()
        for queues in (self._totals, self._wait, self._run):
            yield from queues.parts()

    # --- the engine

    def observe_script(self, script: str, seconds: float, jobs: int) -> None:
        """One script call; fits ScriptRunner(observe=...)."""
        cost = self._scripts.get(script)
        if cost is None:
            cost = self._scripts[script] = _ScriptCost(self._script_seconds.labels(script))
        cost.calls += 1
        cost.jobs += jobs
        cost.total_s += seconds
        cost.max_s = max(cost.max_s, seconds)
        cost.observe(seconds)

    def observe_batch(self, operation: str, jobs: int) -> None:
        """One flush of gathered requests; fits make_engine(observe_batch=...)."""
        child = self._batches.get(operation)
        if child is None:
            child = self._batches[operation] = self._batch_jobs.labels(operation)
        child.observe(jobs)

    def script_timings(self) -> list[ScriptTiming]:
        """Every script that ran, by name."""
        return [
            ScriptTiming(name, cost.calls, cost.jobs, cost.total_s / cost.calls, cost.max_s)
            for name, cost in sorted(self._scripts.items())
        ]

    # --- jobs

    def claimed(self, queue: str, jobs: Iterable[ClaimedJob]) -> None:
        """Jobs of one claim: how long they were ready."""
        self._wait.observe(queue, [job.waited_ms for job in jobs])

    def acked(self, queue: str, answers: Iterable[Acked]) -> None:
        """Answers of one Ack: how long the acknowledged jobs ran; repeats and refusals have no time."""
        self._run.observe(queue, [answer.ran_ms for answer in answers if answer.ran_ms >= 0])

    def sampled(self, snapshots: Sequence[QueueSnapshot]) -> None:
        """The state of all queues, as the sampler read it."""
        self._totals.update(snapshots)
        gone = self._labels.keep({snapshot.queue for snapshot in snapshots})
        for times in (self._wait, self._run):
            times.forget(gone)

    # --- the edges and the loops

    def set_streams(self, streams: int) -> None:
        self._streams.set(streams)

    def set_http_connections(self, connections: int) -> None:
        self._connections.set(connections)

    def grpc_handled(self, method: str, code: str, seconds: float) -> None:
        """One RPC ended. `method` is one of the contract's, never what an unknown caller sent."""
        children = self._methods.get((method, code))
        if children is None:
            children = (self._handled.labels(method, code), self._grpc_seconds.labels(method))
            self._methods[method, code] = children
        children[0].inc()
        children[1].observe(seconds)

    def loop_ran(self, loop: str, *, failed: bool) -> None:
        self._runs.labels(loop).inc()
        if failed:
            self._failures.labels(loop).inc()

    def loop_moved(self, loop: str, jobs: Mapping[str, int]) -> None:
        """Jobs by what was done with them. Zeros count: a counter that appears as 1 shows no increase."""
        for what, n in jobs.items():
            self._moved.labels(loop, what).inc(n)

    def follow_reloads(self, file: Followed) -> None:
        self._reload_failures.labels(file.kind)  # from 0: a counter that appears as 1 shows no increase
        self._reload_failing.labels(file.kind).set_function(lambda: file.failing_s)

    def reload_failed(self, kind: str) -> None:
        """One more attempt failed; fits Follower(failed=...)."""
        self._reload_failures.labels(kind).inc()


def _only(collector: Collector) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(collector)
    return registry
