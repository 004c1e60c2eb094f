"""Hands jobs back that no worker received: asks the store again until it answers, or until their leases ran out."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

import structlog

from relay_server import errors, tasks
from relay_server.engine import Transitions
from relay_server.model import Lease

_log = structlog.get_logger(__name__)

_BACKOFF_S, _BACKOFF_MAX_S = 0.05, 0.5


class HandBack:
    """Works in the background, so that neither a stream nor a queue waits for a store that is away."""

    def __init__(self, transitions: Transitions, *, spawn: tasks.Spawn) -> None:
        self._transitions = transitions
        self._spawn = spawn
        self._tasks: set[asyncio.Task[None]] = set()
        self._lost: set[str] = set()

    @property
    def pending(self) -> int:
        """How many the store has not taken yet."""
        return len(self._tasks)

    def return_leases(self, queue: str, leases: Sequence[Lease], *, until: float) -> None:
        """Returns jobs to their old place. `until`, monotonic seconds: when the leases run out by themselves."""
        self._begin(self._settle(self._transitions.hand_back, queue, leases, until))

    def set_aside(self, queue: str, leases: Sequence[Lease], *, until: float) -> None:
        """Sets aside jobs whose body cannot be read, so that they come to nobody again."""
        self._begin(self._settle(self._transitions.set_aside, queue, leases, until))

    def return_lost_claim(self, queue: str) -> None:
        """Returns the jobs of a claim whose outcome is unknown, if it ran.

        Also when no stream takes this queue any more.
        """
        if queue not in self._lost:
            self._lost.add(queue)
            self._begin(self._hand_back_claim(queue))

    async def finish(self, within_s: float) -> None:
        """Waits for work under way. Jobs that are not handed back by then wait for their leases to run out."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=within_s)
            await tasks.end(late)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._spawn(work, "hand-back")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _settle(
        self,
        act: Callable[[str, Sequence[Lease]], Awaitable[int]],
        queue: str,
        leases: Sequence[Lease],
        until: float,
    ) -> None:
        async def work() -> None:
            await act(queue, leases)

        await _persist(work, queue, until)

    async def _hand_back_claim(self, queue: str) -> None:
        try:
            await _persist(lambda: self._transitions.hand_back_lost_claim(queue), queue, float("inf"))
        finally:
            self._lost.discard(queue)


async def _persist(work: Callable[[], Awaitable[None]], queue: str, until: float) -> None:
    failures = 0
    while True:
        try:
            return await work()
        except errors.StoreUnavailable as error:
            failures += 1
            pause_s = random.uniform(0, min(_BACKOFF_MAX_S, _BACKOFF_S * 2 ** min(failures, 8)))
            over = time.monotonic() + pause_s >= until
            if over or failures == 1:
                _log.warning(
                    "hand_back_given_up" if over else "hand_back_failed", queue=queue, error=repr(error)
                )
            if over:
                return None
        await asyncio.sleep(pause_s)
