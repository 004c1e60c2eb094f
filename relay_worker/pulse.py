"""A thread for everything that must happen in time, whatever user code does: leases, silence, deadlines."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import structlog

# Takes the monotonic time; returns seconds until the next call, at most.
Step = Callable[[float], float]

_log = structlog.get_logger("relay_worker.pulse")


class Pulse:
    """Calls every step each tick, or sooner when one asks for it. Steps never wait for the network."""

    def __init__(self, steps: Sequence[Step], *, tick_s: float) -> None:
        self._steps = steps
        self._tick_s = tick_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="relay-pulse", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread and waits for it."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def run_once(self, now: float) -> float:
        """One turn; returns seconds to the next."""
        wait_s = self._tick_s
        for step in self._steps:
            try:
                wait_s = min(wait_s, step(now))
            except Exception:  # noqa: BLE001 - logged with its stack
                # One step's defect must not cost every other job its lease.
                _log.exception("pulse step failed")
        return max(0.005, wait_s)

    def _run(self) -> None:
        wait_s = 0.0
        while not self._stop.wait(wait_s):
            wait_s = self.run_once(time.monotonic())
