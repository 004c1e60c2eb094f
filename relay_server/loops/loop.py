"""Runs one background step again and again: jittered, supervised, and never ended by a failure of the step."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Generic, Protocol, TypeVar

import structlog

from relay_server import errors

_log = structlog.get_logger(__name__)
Result = TypeVar("Result")

_BACKOFF_S, _BACKOFF_MAX_S = 0.1, 5.0
# A store that is away fails every loop over and over: said when it starts, now and then, and when it ends.
_SAY_EVERY = 20


class LoopMetrics(Protocol):
    """Counts runs, and jobs by what was done with them; observability.Metrics does."""

    def loop_ran(self, loop: str, *, failed: bool) -> None: ...

    def loop_moved(self, loop: str, jobs: Mapping[str, int]) -> None: ...


class Loop(Generic[Result]):
    """`run_once`, then a pause that its result asks for, until cancelled.

    After a failure the pause is full jitter up to 5 s.
    """

    def __init__(
        self,
        name: str,
        run_once: Callable[[], Awaitable[Result]],
        *,
        pause_s: Callable[[Result], float],
        metrics: LoopMetrics,
        jobs: Callable[[Result], Mapping[str, int]] = lambda _: {},
    ) -> None:
        self.name = name
        self._run_once = run_once
        self._pause_s = pause_s
        self._metrics = metrics
        self._jobs = jobs
        self._failures = 0

    async def run(self) -> None:
        while True:
            pause = await self._step()
            task = asyncio.current_task()
            if task and task.cancelling():  # a library may lose it: asyncio.wait_for of Python 3.11 does
                raise asyncio.CancelledError
            await asyncio.sleep(pause)

    async def _step(self) -> float:
        try:
            result = await self._run_once()
            pause = self._pause_s(result)
        except Exception as error:  # noqa: BLE001 - a loop that ended would leave jobs lying until a restart
            self._metrics.loop_ran(self.name, failed=True)
            self._failures += 1
            self._report(error)
            return random.uniform(0, min(_BACKOFF_MAX_S, _BACKOFF_S * 2 ** min(self._failures, 10)))
        self._metrics.loop_ran(self.name, failed=False)
        self._metrics.loop_moved(self.name, self._jobs(result))
        if self._failures:
            _log.info("loop_recovered", loop=self.name, failures=self._failures)
            self._failures = 0
        return pause

    def _report(self, error: Exception) -> None:
        if self._failures % _SAY_EVERY != 1:
            return
        known = isinstance(error, errors.RelayError)  # anything else is a defect: show where
        _log.warning(
            "loop_failed",
            loop=self.name,
            error=str(error) if known else repr(error),
            failures=self._failures,
            exc_info=None if known else error,
        )


def jittered(seconds: float) -> float:
    """±10 %, so that servers do not act in step."""
    return seconds * random.uniform(0.9, 1.1)


def every(interval_s: float) -> Callable[[object], float]:
    """A pause that does not depend on the result."""
    return lambda _: jittered(interval_s)
