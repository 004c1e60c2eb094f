"""The counters of a worker, and a small HTTP server for /metrics and /healthz."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, make_wsgi_app

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_RUN_BUCKETS_S = (0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 60, 300, 1800)

# The type of every job that no handler here knows.
OTHER = "other"


class WorkerMetrics:
    """Counters of one worker, in a registry of its own. `known(type)` is True when a handler is registered.
    All other types count as `other`, because producers choose them freely."""

    def __init__(self, known: Callable[[str], bool]) -> None:
        self._known = known
        self.registry = CollectorRegistry()
        self._jobs = Counter(
            "relay_worker_jobs",
            "Jobs by type and what became of them: ack, retry, dead, release, throttled, lost, unsettled",
            ["type", "outcome"],
            registry=self.registry,
        )
        self._run = Histogram(
            "relay_worker_run_seconds",
            "How long handlers ran, in seconds",
            ["type"],
            buckets=_RUN_BUCKETS_S,
            registry=self.registry,
        )
        self.lease_losses = Counter(
            "relay_worker_lease_losses",
            "Leases lost while their handlers ran or waited",
            registry=self.registry,
        )
        self._counts: dict[tuple[str, str], Counter] = {}
        self._runs: dict[str, Histogram] = {}

    def observe(
        self, in_flight: Callable[[], float], connected: Callable[[], float], silence: Callable[[], float]
    ) -> None:
        """Adds the gauges, which are read at each scrape."""
        for name, text, read in (
            ("relay_worker_in_flight", "Jobs received and not settled", in_flight),
            ("relay_worker_stream_connected", "1 while a claim stream is open", connected),
            ("relay_worker_silence_seconds", "Seconds since the last frame from the server", silence),
        ):
            Gauge(name, text, registry=self.registry).set_function(read)

    def ended(self, job_type: str, ran_s: float) -> None:
        """A handler ran for this long."""
        job_type = job_type if self._known(job_type) else OTHER
        run = self._runs.get(job_type)
        if run is None:
            run = self._runs[job_type] = self._run.labels(job_type)
        run.observe(ran_s)

    def settled(self, job_type: str, outcome: str) -> None:
        """A job came to its end here."""
        job_type = job_type if self._known(job_type) else OTHER
        # labels() takes a lock and builds a key each time; this is on the path of every job.
        count = self._counts.get((job_type, outcome))
        if count is None:
            count = self._counts[job_type, outcome] = self._jobs.labels(job_type, outcome)
        count.inc()


class MetricsServer:
    """Serves /metrics and /healthz on a port of its own, from threads of its own."""

    def __init__(self, host: str, port: int, metrics: WorkerMetrics, health: Callable[[], str]) -> None:
        """`health` gives "" when well, else the reason. OSError when the port cannot be bound."""
        page = make_wsgi_app(metrics.registry)

        def route(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
            match environ["PATH_INFO"]:
                case "/metrics":
                    body: Iterable[bytes] = page(environ, start)
                    return body
                case "/healthz":
                    wrong = health()
                    start("503 Service Unavailable" if wrong else "200 OK", [("Content-Type", "text/plain")])
                    return [(wrong or "ok").encode() + b"\n"]
            start("404 Not Found", [("Content-Type", "text/plain")])
            return [b"try /metrics or /healthz\n"]

        self._server = make_server(host, port, route, server_class=_Server, handler_class=_Quiet)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, name="relay-metrics", daemon=True)

    def start(self) -> None:
        """Starts to answer."""
        self._thread.start()

    def close(self) -> None:
        """Stops answering and frees the port."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """A line for each scrape helps nobody."""
