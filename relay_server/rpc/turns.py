"""Whose turn it is to run a script that looks at many jobs, or changes many: the others must not feel it."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from relay_server.security.principals import caller

T = TypeVar("T")

AT_ONCE = 2  # such scripts of this server
REST_PART, REST_MAX_S = 0.5, 0.1
# Who asks for several things at once gets them one after another, and the others are asked less of meanwhile.
CROWDED_REST_PART = 2.0
STEP_JOBS_MIN, STEP_JOBS, STEP_JOBS_MAX = 100, 200, 250
# A step takes as long as its script and what waits before it at the store: both are reasons to take less the next time.
_SLOW_S, _FAST_S = 0.008, 0.003


@dataclass(slots=True)
class _Lane:
    """One caller's steps, one after another."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    page: asyncio.Lock = field(default_factory=asyncio.Lock)
    rests_until: float = 0.0
    waiting: int = 0  # calls, for their turn
    users: int = 0

    @asynccontextmanager
    async def waits(self, lock: asyncio.Lock) -> AsyncIterator[None]:
        """Holds the lock once it is free."""
        self.waiting += 1
        try:
            await lock.acquire()
        finally:
            self.waiting -= 1
        try:
            yield
        finally:
            lock.release()


class Turns:
    """Two scripts at once on this server, one a caller, and after each its caller rests half as long as it took; twice
    as long while more calls of the same caller wait.

    So one call at a time takes two thirds of the time at most, and a crowd of them a third, as long as no script takes
    longer than 50 ms: a rest is 0.1 s at most.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._lanes: dict[str, _Lane] = {}

    async def take(self, work: Callable[[], Awaitable[T]]) -> T:
        """Runs `work`, one script or the rows of one page, when it is the caller's turn."""
        with self._lane() as lane:
            async with lane.waits(lane.lock):
                await asyncio.sleep(max(0.0, lane.rests_until - self._clock()))
                async with self._gate:
                    started = self._clock()
                    try:
                        return await work()
                    finally:
                        ended = self._clock()
                        part = CROWDED_REST_PART if lane.waiting else REST_PART
                        lane.rests_until = ended + min((ended - started) * part, REST_MAX_S)

    @asynccontextmanager
    async def page(self) -> AsyncIterator[None]:
        """For a page that several turns put together: one a caller, since pages that wait for a turn are memory."""
        with self._lane() as lane:
            async with lane.waits(lane.page):
                yield

    @contextmanager
    def _lane(self) -> Iterator[_Lane]:
        """That of the caller."""
        name = caller.get().name
        lane = self._lanes.setdefault(name, _Lane())
        lane.users += 1
        try:
            yield lane
        finally:
            lane.users -= 1
            if not lane.users:
                del self._lanes[name]


class Steps:
    """The steps of one operation: each takes a turn, and as many jobs as the last one's time allows."""

    def __init__(self, turns: Turns, *, clock: Callable[[], float] = time.monotonic) -> None:
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
