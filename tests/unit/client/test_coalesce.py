"""Natural batching when Ctrl-C comes: at whatever line it strikes, nobody else is left waiting."""

import linecache
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from typing import Any

import pytest

from relay.v1 import job_pb2
from relay_client import _coalesce
from relay_client._batches import Result
from relay_client._coalesce import Coalescer
from relay_client.errors import RelayError
from relay_client.jobs import Enqueued
from tests.support.waiting import until

_STRUCK = {"enqueue", "_wait", "_lead"}
_LINES_MAX = 60


class Strike:
    """Raises KeyboardInterrupt at the `at`-th line that its thread runs in the coalescer."""

    def __init__(self, at: int) -> None:
        self.left = at

    def __call__(self, frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_code.co_filename != _coalesce.__file__ or frame.f_code.co_name not in _STRUCK:
            return None
        line = linecache.getline(_coalesce.__file__, frame.f_lineno).strip()
        # No signal is handled between the end of a `with` body and the release of its lock.
        if event == "line" and not line.startswith(("with ", "except")):
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt
        return self


@pytest.mark.parametrize("at", range(1, _LINES_MAX))
def test_an_interrupt_at_any_line_leaves_nobody_waiting(at: int) -> None:
    gate = threading.Event()

    def send(queue: str, jobs: list[job_pb2.JobSpec], deadline: float) -> list[Result]:
        assert gate.wait(10)
        return [Enqueued(job.id) for job in jobs]

    def struck() -> None:
        sys.settrace(Strike(at))
        try:
            # Of all the latest deadline: this one is to lead the others.
            coalescer.enqueue("q", job_pb2.JobSpec(id="struck"), time.monotonic() + 60)
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(None)

    def other(name: str) -> Enqueued | RelayError:
        try:
            return coalescer.enqueue("q", job_pb2.JobSpec(id=name), time.monotonic() + 30)
        except RelayError as error:
            return error

    def in_line(count: int) -> bool:
        line = coalescer._lines.get("q")
        return line is not None and len(line.waiting) == count

    coalescer = Coalescer(send)
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(other, "first")
        until(lambda: in_line(0))
        unlucky = pool.submit(struck)
        until(lambda: in_line(1) or unlucky.done())
        later = pool.submit(other, "later")
        until(lambda: in_line(1 if unlucky.done() else 2))
        gate.set()
        assert first.result(10) == Enqueued("first")
        unlucky.result(10)
        assert later.result(10) == Enqueued("later") or "interrupted" in str(later.result())
    assert not coalescer._lines
    assert coalescer.enqueue("q", job_pb2.JobSpec(id="next"), time.monotonic() + 30) == Enqueued("next")
