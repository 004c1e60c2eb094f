"""How many bytes of jobs may wait in this server for slow readers: by session, by principal and in all.

Before a claim, the server reserves the most bytes that its jobs can have. After it, the jobs' real bytes count until
their frame is written.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from weakref import WeakValueDictionary

import structlog

from relay_server import limits
from relay_server.engine import CLAIMED_BODIES_BYTES_MAX
from relay_server.security.principals import ANYONE

_log = structlog.get_logger(__name__)

JOB_BYTES = 256  # beside its body, for a job that waits
_WARN_EVERY_S = 60.0
_WOKEN_MAX = 8  # queues; the others get their turn when more bytes are written


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomBounds:
    """The most that may wait, in bytes: for a session, a principal, in the server. `claim`: what one may bring."""

    session: int = limits.SESSION_BYTES_MAX
    principal: int = limits.PRINCIPAL_BYTES_MAX
    server: int = limits.WAITING_BYTES_MAX
    claim: int = CLAIMED_BODIES_BYTES_MAX


class Rooms:
    """The rooms of all principals, and how many bytes they hold together."""

    def __init__(self, bounds: RoomBounds | None = None) -> None:
        self.bounds = bounds or RoomBounds()
        self.used = 0
        self._of: WeakValueDictionary[str, Room] = WeakValueDictionary()
        self._short = False

    def of(self, principal: str) -> "Room":
        """The room that all sessions of a principal share.

        Without tokens, all sessions share one room as large as the server's bound.
        """
        room = self._of.get(principal)
        if room is None:
            most = self.bounds.server if principal == ANYONE.name else self.bounds.principal
            room = self._of[principal] = Room(self, principal, most)
        return room

    @property
    def open(self) -> bool:
        return self.used + self.bounds.claim <= self.bounds.server

    def fell_short(self) -> None:
        self._short = True

    def freed(self) -> None:
        """Wakes waiting queues of every principal, so that one with many of them does not take all."""
        if self._short and self.open:
            self._short = False
            for room in list(self._of.values()):
                room.wake()


class Room:
    """The bytes that the server keeps for one principal's readers."""

    def __init__(self, rooms: Rooms, principal: str, most: int) -> None:
        self.used = 0
        self._claims = 0
        self._principal = principal
        self._warned_at = float("-inf")
        self._rooms = rooms
        self._most = most
        self._waiting: dict[str, Callable[[], None]] = {}

    @property
    def bounds(self) -> RoomBounds:
        return self._rooms.bounds

    @property
    def open(self) -> bool:
        """There is room for as much as a claim may bring."""
        return self.used + self.bounds.claim <= self._most and self._rooms.open

    def reserve(self) -> None:
        """A claim begins: until it is over, as much as it may bring counts as held."""
        self._claims += 1
        self.hold(self.bounds.claim)

    def unreserve(self) -> None:
        self._claims -= 1
        self.let_go(self.bounds.claim)

    def hold(self, size: int) -> None:
        self.used += size
        self._rooms.used += size

    def let_go(self, size: int) -> None:
        self.used -= size
        self._rooms.used -= size
        self._rooms.freed()
        if self._waiting and self.open:
            self.wake()

    def await_room(self, queue: str, wake: Callable[[], None]) -> None:
        """Calls `wake`, once, when there is room for a claim; first come, first served."""
        self._waiting[queue] = wake  # keeps the queue's place; the dispatcher that waited before may be gone
        if not self._rooms.open:
            self._rooms.fell_short()
        self._warn(queue)

    def _warn(self, queue: str) -> None:
        """Logs why jobs wait while workers have slots: nothing fails, so nothing else would show it."""
        now = time.monotonic()
        waiting = self.used - self._claims * self.bounds.claim
        # Claims under way are no reader's fault, and over in a moment: only jobs that wait are a reason.
        if (waiting < self._most / 2 and self._rooms.open) or now - self._warned_at < _WARN_EVERY_S:
            return
        self._warned_at = now
        _log.warning(
            "claims_wait_for_slow_readers",
            principal=self._principal,
            queue=queue,
            waiting_bytes=waiting,
            option="--principal-bytes-max" if self._rooms.open else "--waiting-bytes-max",
        )

    def wake(self) -> None:
        for queue in list(islice(self._waiting, _WOKEN_MAX)):
            self._waiting.pop(queue)()
