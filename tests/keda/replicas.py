"""The replicas: real `relay-worker` processes, started and drained by number."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
_END_S = 20.0


class Replicas:
    """Worker processes on one queue. A replica that is scaled away gets SIGTERM, and as long as it needs."""

    def __init__(self, target: str, queue: str, *, concurrency: int, log: Path) -> None:
        options = ("--server", target, "--queue", queue, "--concurrency", str(concurrency), "--lease", "10s")
        program = Path(sys.executable).with_name("relay-worker")
        self._command = [str(program), "tests.support.worker_jobs:jobs", *options, "--grace", "15s"]
        self._log = log
        self._running: list[subprocess.Popen[bytes]] = []
        self._leaving: list[subprocess.Popen[bytes]] = []

    def __len__(self) -> int:
        return len(self._running)

    @property
    def leaving(self) -> int:
        """Replicas that got SIGTERM and have not ended yet."""
        return sum(process.poll() is None for process in self._leaving)

    def scale(self, number: int) -> None:
        while len(self._running) < number:
            with self._log.open("ab") as log:
                self._running.append(subprocess.Popen(self._command, cwd=ROOT, stdout=log, stderr=log))
        for process in self._running[number:]:
            process.terminate()
        self._leaving += self._running[number:]
        del self._running[number:]

    def end(self) -> None:
        self.scale(0)
        for process in self._leaving:
            try:
                process.wait(_END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def replicas(target: str, queue: str, *, concurrency: int) -> Iterator[Replicas]:
    """Replicas, none at first. What runs at the end of the block is ended."""
    with tempfile.TemporaryDirectory(prefix="relay-keda-") as folder:
        workers = Replicas(target, queue, concurrency=concurrency, log=Path(folder, "log"))
        try:
            yield workers
        finally:
            workers.end()
