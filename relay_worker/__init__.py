"""The worker runtime: claims jobs from a Relay server and runs their handlers."""

from relay_worker.context import Context
from relay_worker.outcome import Reject, RetryLater, Stopped, Throttled
from relay_worker.registry import Jobs
from relay_worker.worker import Worker, WorkerConfig, WorkerFailed

__all__ = [
    "Context",
    "Jobs",
    "Reject",
    "RetryLater",
    "Stopped",
    "Throttled",
    "Worker",
    "WorkerConfig",
    "WorkerFailed",
]
