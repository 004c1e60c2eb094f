"""Runs a Worker in a thread with an event loop of its own, which a test can watch even when a handler blocks it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from relay_client.connection import connection
from relay_worker import Jobs, Worker, WorkerConfig

JOIN_S = 15.0


class Running:
    """A worker at work. `finish` stops it, waits, and raises what its run raised."""

    def __init__(self, jobs: Jobs, target: str, **config: Any) -> None:
        settings: dict[str, Any] = {"queues": {"q": 1}, "lease_s": 3.0, "grace_s": 5.0, "concurrency": 8}
        self.worker = Worker(jobs, WorkerConfig(server=connection(target), **(settings | config)))
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="test-worker", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            asyncio.run(self.worker.run())
        except BaseException as error:  # noqa: BLE001 - handed to the test
            self.error = error

    def metric(self, name: str, **labels: str) -> float:
        """A sample of the worker's metrics; 0 when there is none."""
        return self.worker.metrics.registry.get_sample_value(name, labels) or 0.0

    @property
    def in_flight(self) -> int:
        """Jobs received and not settled."""
        return int(self.metric("relay_worker_in_flight"))

    @property
    def connected(self) -> bool:
        return self.metric("relay_worker_stream_connected") == 1

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def join(self) -> None:
        self._thread.join(JOIN_S)
        assert not self._thread.is_alive(), "the worker did not end"

    def finish(self) -> None:
        self.worker.stop()
        self.join()
        if self.error is not None:
            raise self.error


@contextmanager
def running(jobs: Jobs, target: str, **config: Any) -> Iterator[Running]:
    """A worker on queue "q" that is drained at the end of the block."""
    worker = Running(jobs, target, **config)
    try:
        yield worker
    finally:
        worker.worker.stop()
        worker.join()
