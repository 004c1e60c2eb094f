"""Writes down the calls and answers of a client as they happen."""

import json
import os
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

Outcome = Literal["ok", "fail", "unknown"]
Kind = Literal["enqueue", "ack", "nack", "extend"]


class Recorder:
    """Appends to one client's file. Thread-safe; a line is one write, so a killed process loses none it made."""

    def __init__(self, folder: Path, client: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = os.open(folder / f"{client}.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._lock = threading.Lock()
        self._calls = 0

    def invoke(self, op: Kind, jobs: Iterable[Sequence[str]]) -> int:
        """A call is about to be made for these jobs, each with its token or key; returns the call's number."""
        with self._lock:
            self._calls += 1
            n = self._calls
        self._write(n=n, op=op, jobs=[list(job) for job in jobs])
        return n

    def returned(self, n: int, outcome: Outcome, replies: Iterable[str] = ()) -> None:
        """The call's end; replies in the order of its jobs."""
        self._write(n=n, outcome=outcome, replies=list(replies))

    def delivered(self, token: str, until: float, grace_ms: float, jobs: Iterable[Sequence[Any]]) -> None:
        """A frame of jobs: (id, attempt, max attempts, epoch) each."""
        self._write(op="deliver", token=token, until=until, grace=grace_ms, jobs=[list(job) for job in jobs])

    def ran(self, job: str, attempt: int, epoch: int, *, finished: bool) -> None:
        """A handler starts or has finished."""
        self._write(op="finish" if finished else "start", job=job, attempt=attempt, epoch=epoch)

    def _write(self, **line: Any) -> None:
        os.write(self._file, (json.dumps({"t": time.time() * 1000, **line}) + "\n").encode())

    def close(self) -> None:
        os.close(self._file)
