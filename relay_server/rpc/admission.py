"""Admits calls: bounds how many run and how many are read at once, so that no caller takes the others' places."""

import asyncio
import random
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import grpc

from relay_server import errors

# Messages that are received at once: each may hold MESSAGE_BYTES_MAX. A small one arrives with its call.
READERS_MAX = 32

_LOOK_EVERY_S = 1.0
_RETRY_MS = 250, 1000  # a burst comes back spread out

Context = grpc.aio.ServicerContext[Any, Any]


class Places:
    """A number of places, and how many each caller has. A caller alone may have all of them. When they are taken, each
    further caller may still have its equal share, so that at most twice as many places are used."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.taken = 0
        self._of: dict[str, int] = {}

    def free(self, key: str) -> bool:
        """Whether this caller may have one more place."""
        if self.taken < self.most:
            return True
        mine = self._of.get(key, 0)
        callers = len(self._of) + (not mine)
        return self.taken < 2 * self.most and mine < self.most / callers

    def take(self, key: str) -> None:
        self.taken += 1
        self._of[key] = self._of.get(key, 0) + 1

    def leave(self, key: str) -> None:
        self.taken -= 1
        self._of[key] -= 1
        if not self._of[key]:
            del self._of[key]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallBounds:
    """How many calls run at once, and how many of them may receive their message at once, each up to
    MESSAGE_BYTES_MAX. Of a message that nobody reads yet gRPC holds one window of flow control."""

    calls: int
    readers: int
    message_within_s: float


class Admission:
    """Admits calls of one class within its bounds. `key` says whose a call is: a principal's name, or an address."""

    def __init__(self, bounds: CallBounds) -> None:
        self._bounds = bounds
        self._calls = Places(bounds.calls)
        self._readers = Places(bounds.readers)
        self._reading: dict[asyncio.Task[Any], float] = {}  # since when, the longest first
        self._late: set[asyncio.Task[Any]] = set()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._looking: asyncio.TimerHandle | None = None

    @contextmanager
    def call(self, key: str) -> Iterator[None]:
        """Counts a call while it lasts. Raises Overloaded when too many run."""
        if not self._calls.free(key):
            raise errors.Overloaded(
                f"{self._calls.taken} calls run on this server, as many as may (--calls-max)",
                retry_after_ms=random.randint(*_RETRY_MS),
            )
        self._calls.take(key)
        try:
            yield
        finally:
            self._calls.leave(key)

    async def read(self, key: str, context: Context) -> bytes | None:
        """The next message of a call; None when the client sends no more.

        Raises Overloaded when it does not arrive in time, or when there was no place for it.
        """
        task = asyncio.current_task()
        assert task is not None
        self._reading[task] = time.monotonic()
        if self._looking is None:
            self._look_again()
        placed = False
        try:
            if key in self._waiting or not self._readers.free(key):
                await self._turn(key)
            self._readers.take(key)
            placed = True
            message = await context.read()
        except asyncio.CancelledError:
            if task not in self._late:
                raise
            task.uncancel()
            raise self._too_late() from None
        finally:
            del self._reading[task]
            self._late.discard(task)
            if placed:
                self._readers.leave(key)
            if self._waiting:  # also when this call had been given its turn and left
                self._next()
        return None if message is grpc.aio.EOF else message

    async def _turn(self, key: str) -> None:
        """Waits for a place. The calls of one caller get theirs in order."""
        while True:
            turn = asyncio.get_running_loop().create_future()
            self._waiting.setdefault(key, deque()).append(turn)
            try:
                await turn
            finally:
                with suppress(KeyError, ValueError):
                    self._waiting[key].remove(turn)
                    if not self._waiting[key]:
                        del self._waiting[key]
            if self._readers.free(key):
                return

    def _next(self) -> None:
        """Gives a free place to the first caller in line that may have one, who then goes to the end of the line."""
        for key, turns in self._waiting.items():
            if self._readers.free(key):
                turn = turns.popleft()
                del self._waiting[key]
                if turns:
                    self._waiting[key] = turns
                if not turn.done():
                    turn.set_result(None)
                return

    def _too_late(self) -> errors.Overloaded:
        return errors.Overloaded(
            f"the message of this call did not arrive within {self._bounds.message_within_s:g} s "
            "(--message-within-s): send it at once, or less of it",
            retry_after_ms=random.randint(*_RETRY_MS),
        )

    def _look_again(self) -> None:
        self._looking = asyncio.get_running_loop().call_later(_LOOK_EVERY_S, self._look)

    def _look(self) -> None:
        """Ends the calls whose message is late. All share a timer: one for each would cost more than reading a call."""
        self._looking = None
        until = time.monotonic() - self._bounds.message_within_s
        for task, since in self._reading.items():
            if since > until:
                break
            if task not in self._late:
                self._late.add(task)
                task.cancel()
        if self._reading:
            self._look_again()
