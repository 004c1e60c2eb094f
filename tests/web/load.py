"""What a dashboard is shown beside: many queues, many dead letters, jobs at a steady rate; and what the server pays."""

import os
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from relay_client import Client, JobSpec, RetryPolicy
from tests.support.waiting import until
from tests.web.stack import WITHIN_S, Stack

_TICKS = os.sysconf("SC_CLK_TCK")
_BATCH = 500
_TURNS_PER_S = 10

# Type and payload of jobs that fail, each in its way: by its handler (twice), for want of one, by what it carries.
_DOOMED = (
    ("demo.fail", {"reason": "card declined"}),
    ("demo.fail", {"reason": "no such account"}),
    ("demo.fail", {"reason": "the partner was away"}),
    ("demo.flaky", {"fail_attempts": 9}),
    ("demo.flaky", {"fail_attempts": 9}),
    ("invoice.render", {"number": 17}),
    ("demo.slow", {"seconds": "long"}),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What a stretch of time had: its seconds, jobs finished in it, and CPU seconds of the server."""

    seconds: float
    jobs: int
    cpu_s: float

    @property
    def rate(self) -> float:
        return self.jobs / self.seconds

    @property
    def cpu_percent(self) -> float:
        """Of one core."""
        return 100 * self.cpu_s / self.seconds


class Meter:
    """Reads the server's counters and its CPU time; `spent` is since the meter was made."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._began = self._read()

    def spent(self) -> Spent:
        now = self._read()
        seconds, jobs, cpu_s = (late - early for late, early in zip(now, self._began, strict=True))
        return Spent(seconds=seconds, jobs=int(jobs), cpu_s=cpu_s)

    def _read(self) -> tuple[float, float, float]:
        assert self._stack.server is not None
        stat = Path(f"/proc/{self._stack.server.pid}/stat").read_text().rpartition(")")[2].split()
        return time.monotonic(), acked(self._stack), (int(stat[11]) + int(stat[12])) / _TICKS


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """What the dashboard's stream brought: bytes of its body and frames, a second."""

    bytes_per_s: float
    frames_per_s: float


def acked(stack: Stack) -> int:
    """Jobs finished since the server began to count."""
    return sum(int(one["counters"].get("acked", 0)) for one in stack.call("stats")["queues"])


def fill(stack: Stack, names: Sequence[str], graves: str, dead: int) -> None:
    """Three delayed jobs in each queue, and so many dead letters in `graves`, put there by a worker."""
    with Client(stack.grpc) as client:
        for name in names:
            client.enqueue_batch(name, [JobSpec(type="demo.ok", delay=3600)] * 3)
        worker = stack.start_worker(graves, concurrency=_BATCH)
        for start in range(0, dead, _BATCH):
            client.enqueue_batch(graves, [_doomed(n) for n in range(start, min(start + _BATCH, dead))])
        until(lambda: stack.number(graves, "dead") >= dead, 300, what="the dead letters")
    worker.terminate()
    worker.wait()


def _doomed(number: int) -> JobSpec:
    kind, payload = _DOOMED[number % len(_DOOMED)]
    return JobSpec(type=kind, payload=payload, retry=RetryPolicy(max_attempts=1))


@contextmanager
def load(stack: Stack, names: Sequence[str], rate: int) -> Iterator[None]:
    """A worker and a producer that keeps to the rate: a tenth of a second's jobs ten times a second."""
    stop = threading.Event()
    jobs = [JobSpec(type="demo.ok", payload={"ms": 0})] * max(1, rate // _TURNS_PER_S)

    def produce() -> None:
        with Client(stack.grpc) as client:
            due, turn = time.monotonic(), 0
            while not stop.wait(max(0.0, due - time.monotonic())):
                client.enqueue_batch(names[turn % len(names)], jobs)
                due, turn = due + 1 / _TURNS_PER_S, turn + 1

    stack.start_worker(*names, concurrency=_BATCH)
    producer = threading.Thread(target=produce)
    producer.start()
    try:
        until(lambda: acked(stack) > rate // 2, WITHIN_S, what="the first jobs to be done")
        yield
    finally:
        stop.set()
        producer.join()


def read_stream(stack: Stack, seconds: float) -> Stream:
    """Reads the dashboard's stream without a browser."""
    asked = urllib.request.Request(f"{stack.url}api/v1/stats:watch", headers={"accept": "text/event-stream"})
    size = frames = 0
    with urllib.request.urlopen(asked, timeout=15) as answer:
        # The first frame comes at once, those behind it on time.
        while not answer.readline().startswith(b"data:"):
            pass
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            line = answer.readline()
            size += len(line)
            frames += line.startswith(b"data:")
        took = time.monotonic() - began
    return Stream(bytes_per_s=size / took, frames_per_s=frames / took)
