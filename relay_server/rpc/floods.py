"""Delays refusals to callers who flood the server: without a valid credential, or with streams that their principal
may not have. Each refusal costs all others time.

A connection carries only so many calls at once. While they wait it brings no others, and waiting costs next to nothing.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

import structlog

from relay_server.security.brake import Brake

# So many refusals within so many seconds are answered at once: to an address without valid credentials, to a principal
# that may open no more streams. A worker waits longer before it asks again.
REFUSALS_MAX, REFUSALS_S = 100, 10.0
# Further refusals of a caller are delayed until about so many a second are answered.
ANSWERED_PER_S = 10
# A connection that cancels more calls than this a second may begin no more than this.
CANCELLED_PER_S_MAX = 50
WAIT_S_MIN, WAIT_S_MAX = 2.0, 30.0
WAITING_MAX = 4000
_KNOWN_MAX = 10_000
_SWEEP_EVERY_S = 1.0

_log = structlog.get_logger(__name__)


class Floods:
    """Counts refusals by caller, and notes which connections carried calls with valid credentials."""

    def __init__(self) -> None:
        self._brake = Brake(REFUSALS_MAX, window_s=REFUSALS_S)
        self._streams = Brake(REFUSALS_MAX, window_s=REFUSALS_S)
        self._cancelled = Brake(CANCELLED_PER_S_MAX, window_s=1.0)
        self._logged = Brake(1)
        # By connection or address that floods: when its next call may begin.
        self._free_at: dict[str, float] = {}
        self._swept_at = 0.0
        self._known: dict[str, None] = {}
        self._waiting = 0
        self._waiting_of: Counter[str] = Counter()
        self._over = asyncio.Event()

    def end(self) -> None:
        """Nobody waits any more: the server stops."""
        self._over.set()

    def known(self, peer: str) -> None:
        """A caller with valid credentials uses this connection. It may be a proxy's, so its calls are not delayed."""
        if peer not in self._known:
            if len(self._known) >= _KNOWN_MAX:
                del self._known[next(iter(self._known))]
            self._known[peer] = None

    def pace(self, peer: str, address_of: Callable[[str], str]) -> float:
        """Seconds until a call on this connection may begin; 0: now."""
        if self._cancelled.is_over(peer):
            return self._in_turn(peer, CANCELLED_PER_S_MAX)
        if peer in self._known or peer.startswith("unix:"):
            return 0.0
        address = address_of(peer)
        return self._in_turn(address, ANSWERED_PER_S) if self._brake.is_over(address) else 0.0

    def _in_turn(self, key: str, per_s: int) -> float:
        now = time.monotonic()
        if len(self._free_at) > _KNOWN_MAX and now - self._swept_at >= _SWEEP_EVERY_S:
            self._swept_at = now
            self._free_at = {one: at for one, at in self._free_at.items() if at > now}
        at = max(now, self._free_at.get(key, 0.0))
        self._free_at[key] = min(at, now + WAIT_S_MAX) + 1 / per_s
        return min(at - now, WAIT_S_MAX)

    def cancelled(self, peer: str) -> None:
        """Notes a call that its client cancelled."""
        if not peer.startswith("unix:"):
            self._cancelled.wait_s(peer)

    async def refused(self, peer: str, address: str) -> None:
        """Notes a call that is about to be refused, and returns when the refusal may be answered."""
        if peer in self._known or peer.startswith("unix:"):
            return
        if self._brake.wait_s(address):
            if not self._logged.wait_s(address):
                _log.warning("flooded", peer=address, refusals_max=REFUSALS_MAX, within_s=REFUSALS_S)
            await self._wait(address)

    async def stream_refused(self, key: str) -> None:
        """The same for a stream that a known caller may not open. `key` says whose share of the server it takes."""
        if self._streams.wait_s(key):
            await self._wait(key)

    async def _wait(self, key: str) -> None:
        if self._waiting >= WAITING_MAX:
            return
        self._waiting += 1
        self._waiting_of[key] += 1
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s(self._waiting_of[key])):
                    await self._over.wait()
        finally:
            self._waiting -= 1
            self._waiting_of[key] -= 1
            if not self._waiting_of[key]:
                del self._waiting_of[key]


def wait_s(waiting: int) -> float:
    """Seconds that the last of a caller's waiting calls has to wait; at random, or all would come back at once."""
    return min(WAIT_S_MAX, max(WAIT_S_MIN, waiting / ANSWERED_PER_S)) * random.uniform(0.5, 1.5)
