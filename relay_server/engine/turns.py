"""Turns for scripts that look at many jobs or change many, so that other callers hardly feel them."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar
from weakref import WeakValueDictionary

T = TypeVar("T")

AT_ONCE = 2  # such scripts of this server
REST_PART, REST_MAX_S = 0.5, 0.1
# A caller with several calls at once has them served one after another, with longer rests for the sake of others.
CROWDED_REST_PART = 2.0
STEP_JOBS_MIN, STEP_JOBS, STEP_JOBS_MAX = 100, 200, 250
# A step's time includes the wait at the store: a slow script and a busy store are both reasons for smaller steps.
_SLOW_S, _FAST_S = 0.008, 0.003


class Turns:
    """Two scripts at once on this server, one a caller, and after each its caller rests half as long as it took; twice
    as long while more calls of the same caller wait.

    So one call at a time takes two thirds of the time at most, and a crowd of them a third, as long as no script takes
    longer than 50 ms: a rest is 0.1 s at most.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.gate = asyncio.Semaphore(AT_ONCE)
        self._of: WeakValueDictionary[str, CallerTurns] = WeakValueDictionary()

    def of(self, caller: str) -> "CallerTurns":
        """The turns of all calls of one caller. A call keeps them to its end, so that it rests between its scripts."""
        turns = self._of.get(caller)
        if turns is None:
            turns = self._of[caller] = CallerTurns(self)
        return turns


class CallerTurns:
    """One caller's scripts, one after another."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._script = asyncio.Lock()
        self._page = asyncio.Lock()
        self._rests_until = 0.0
        self._waiting = 0  # calls, for their turn

    async def take(self, work: Callable[[], Awaitable[T]]) -> T:
        """Runs `work`, one script or the rows of one page, when it is the caller's turn."""
        clock = self._turns.clock
        async with self._waits(self._script):
            await asyncio.sleep(max(0.0, self._rests_until - clock()))
            async with self._turns.gate:
                started = clock()
                try:
                    return await work()
                finally:
                    ended = clock()
                    part = CROWDED_REST_PART if self._waiting else REST_PART
                    self._rests_until = ended + min((ended - started) * part, REST_MAX_S)

    @asynccontextmanager
    async def page(self) -> AsyncIterator[None]:
        """For a page that several turns put together: one a caller, since pages that wait for a turn are memory."""
        async with self._waits(self._page):
            yield

    @asynccontextmanager
    async def _waits(self, lock: asyncio.Lock) -> AsyncIterator[None]:
        """Holds the lock once it is free."""
        self._waiting += 1
        try:
            await lock.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            lock.release()


class Steps:
    """The steps of one operation: each takes a turn, and as many jobs as the last one's time allows."""

    def __init__(self, turns: CallerTurns, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.jobs = STEP_JOBS
        self._turns = turns
        self._clock = clock

    async def run(self, work: Callable[[], Awaitable[T]]) -> T:
        """Runs `work` in a turn: one script on about `jobs` jobs."""

        async def timed() -> T:
            started = self._clock()
            try:
                return await work()
            finally:
                self._adapt(self._clock() - started)

        return await self._turns.take(timed)

    def _adapt(self, seconds: float) -> None:
        if seconds > _SLOW_S:
            self.jobs = max(STEP_JOBS_MIN, self.jobs // 2)
        elif seconds < _FAST_S:
            self.jobs = min(STEP_JOBS_MAX, self.jobs * 5 // 4)
