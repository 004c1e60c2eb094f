"""Counts the jobs that the worker holds, and is the only source of WindowReports."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from relay.v1.queue_service_pb2 import WindowReport
from relay_worker.model import HeldJob


class Window:
    """The session's window. A job counts from its receipt until its settle is sent and its handler has ended."""

    def __init__(self, limit: int) -> None:
        self._lock = threading.Lock()
        self._limit = limit
        self._session_id = ""
        self._stream = 0
        self._received = 0
        self._in_flight = 0
        self._seq = 0
        self._in_transit = 0
        self._closed = False

    @property
    def session_id(self) -> str:
        return self._session_id

    @property
    def in_flight(self) -> int:
        return self._in_flight

    def opened(self, session_id: str, stream: int = 0) -> None:
        """Notes the session and the stream that Started named; the session may be another than the one asked for."""
        with self._lock:
            self._session_id = session_id
            self._stream = stream

    def new_stream(self) -> int:
        """Before a new stream: receipts count from zero again. Returns how many jobs are in flight."""
        with self._lock:
            self._received = 0
            return self._in_flight

    def took(self, count: int, fresh: int) -> None:
        """Counts jobs that arrived on the stream; `fresh` of them were not held already."""
        with self._lock:
            self._received += count
            self._in_flight += fresh

    def settle_begins(self, jobs: Iterable[HeldJob]) -> WindowReport | None:
        """Takes out jobs that are about to be settled, and returns the report for that call."""
        with self._lock:
            for job in jobs:
                job.sent = True
                self._in_flight -= not job.busy
            self._in_transit += 1
            return self._report()

    def settle_ended(self) -> None:
        """The settle was answered."""
        with self._lock:
            self._in_transit -= 1

    def settle_failed(self, jobs: Iterable[HeldJob]) -> None:
        """The settle was not answered and will be repeated: its jobs count again until then."""
        with self._lock:
            for job in jobs:
                job.sent = False
                self._in_flight += not job.busy
            self._in_transit -= 1

    def gone(self, jobs: Iterable[HeldJob]) -> None:
        """No settle will be sent for these jobs (again). They no longer count once their handlers have ended."""
        with self._lock:
            for job in jobs:
                job.sent = True
                self._in_flight -= not job.busy

    def slot_free(self, job: HeldJob) -> bool:
        """A handler that outlived its job's settle has ended. True when no later settle reports that."""
        with self._lock:
            job.busy = False
            self._in_flight -= job.sent
            return job.sent

    def restatement(self) -> WindowReport | None:
        """A report of the window now; None while a settle is on its way, because that carries a report."""
        with self._lock:
            # A report that overtook a settle would count its jobs as in flight, with a newer seq, and stall the stream.
            return None if self._in_transit else self._report()

    def differs(self, unsettled: int) -> bool:
        """True when the server's count is wrong, and no settle on its way can explain that."""
        with self._lock:
            return not self._in_transit and not self._closed and unsettled != self._in_flight

    def close(self) -> None:
        """From now on every report shows a full window, so that no further job comes."""
        with self._lock:
            self._closed = True

    def _report(self) -> WindowReport | None:
        if not self._session_id:
            return None
        self._seq += 1
        return WindowReport(
            session_id=self._session_id,
            received=self._received,
            in_flight=max(self._in_flight, self._limit) if self._closed else self._in_flight,
            seq=self._seq,
            stream=self._stream,
        )
