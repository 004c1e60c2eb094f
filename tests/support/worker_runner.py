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
