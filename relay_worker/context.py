"""A handler's view of its job: its data, a logger, progress, and the request to stop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import structlog

from relay_client.limits import NOTE_BYTES_MAX
from relay_worker.model import CancelFlag, HeldJob
from relay_worker.outcome import Stopped

Report = Callable[[float, str], None]


class Context:
    """One attempt of one job, as its handler sees it.

    attempt is from 1; epoch strictly rises with every claim of the job: write it beside side effects in another
    store to fence off a late run. headers are the producer's. cancelled is the only way to stop a sync handler;
    an async one gets CancelledError as well.
    """

    __slots__ = ("_held", "_logger", "_report", "cancelled")

    def __init__(self, held: HeldJob, report: Report, cancelled: CancelFlag) -> None:
        self._held = held
        self._report = report
        self._logger: Any = None
        self.cancelled = cancelled

    @property
    def job_id(self) -> str:
        return self._held.job_id

    @property
    def queue(self) -> str:
        return self._held.queue

    @property
    def type(self) -> str:
        return self._held.type

    @property
    def attempt(self) -> int:
        return self._held.attempt

    @property
    def max_attempts(self) -> int:
        return self._held.max_attempts

    @property
    def epoch(self) -> int:
        return self._held.epoch

    @property
    def idempotency_key(self) -> str:
        return self._held.idempotency_key

    @property
    def headers(self) -> Mapping[str, str]:
        return self._held.headers

    @property
    def logger(self) -> Any:
        """A structlog logger that knows the job's id, queue, type and attempt."""
        if self._logger is None:
            self._logger = structlog.get_logger("relay_worker.job").bind(
                job_id=self.job_id, queue=self.queue, job_type=self.type, attempt=self.attempt
            )
        return self._logger

    def progress(self, fraction: float, note: str = "") -> None:
        """Reports how far the job is: 0 to 1, and a note of up to 200 bytes. Never blocks; shown in a second or two."""
        if not 0 <= fraction <= 1:
            raise ValueError(f"progress: fraction {fraction!r} is not between 0 and 1")
        cut = note.encode("utf-8", "replace")[:NOTE_BYTES_MAX].decode("utf-8", "ignore")
        self._report(float(fraction), cut)

    def raise_if_cancelled(self) -> None:
        """Ends the handler here when it should stop; the job is released without using up an attempt."""
        if self.cancelled:
            raise Stopped("the handler was to stop")
