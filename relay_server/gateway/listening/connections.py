"""Counts the connections of a listener, in all and by address, and says which one goes when there is no room.

Those that wait for their owner go first: in the order of State, and of one state the one that is in it for longest.
One for which the server works is never ended for another.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

import structlog

from relay_server.security.brake import Brake, network_of

_log = structlog.get_logger(__name__)

# Beyond the limits: so many more are let in to be told so, and for probes.
EXTRA_MAX = 32
_LINES_PER_MINUTE_MAX = 2
_GRACE_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """Connections at once, of all and of one address; seconds for a handshake and for the headers of a request,
    without a request, and for a reader who takes nothing."""

    connections: int = 2000
    per_address: int = 500
    header_s: float = 10.0
    idle_s: float = 30.0
    write_s: float = 30.0


class State(Enum):
    """What a connection does, in the order in which they go. SERVED does not go."""

    SILENT = "silent"  # asked nothing yet
    IDLE = "idle"
    RECEIVING = "receiving"  # a body that is not whole: nothing was done yet
    STALLED = "stalled"  # an answer that its reader does not take
    SERVED = "served"
    GONE = "gone"


_GO = (State.SILENT, State.IDLE, State.RECEIVING, State.STALLED)


@dataclass(eq=False, slots=True)
class Held:
    """A connection that was let in. `end` cuts it off, whatever it does. `extra`: there is no room for it, which it is
    to be told."""

    address: str
    extra: bool = False
    state: State = State.SILENT
    since: float = field(default_factory=time.monotonic)  # it is in that state
    end: Callable[[], object] = field(default=lambda: None)


class _Line:
    """Connections in the order in which they go. `count` has those being served, too."""

    def __init__(self) -> None:
        self.count = 0
        self._waiting: dict[State, OrderedDict[Held, None]] = {state: OrderedDict() for state in _GO}

    def first(self) -> Held | None:
        """The one that goes. Who is only just in a state, such as that of saying hello, stays if another can go."""
        oldest = [next(iter(waiting)) for waiting in self._waiting.values() if waiting]
        settled = time.monotonic() - _GRACE_S
        first = next((held for held in oldest if held.since <= settled), None)
        return first or min(oldest, key=lambda held: held.since, default=None)

    def move(self, held: Held, to: State) -> None:
        if (before := self._waiting.get(held.state)) is not None:
            before.pop(held, None)
        if (after := self._waiting.get(to)) is not None:
            after[held] = None


class Connections:
    """The connections of one listener. `observe` hears how many there are."""

    def __init__(self, limits: ConnectionLimits, observe: Callable[[int], None] = lambda _: None) -> None:
        self.limits = limits
        self._observe = observe
        self._all = _Line()
        self._by_address: dict[str, _Line] = {}
        self._extra = _Line()
        self._brake = Brake(_LINES_PER_MINUTE_MAX)

    def __len__(self) -> int:
        return self._all.count

    def enter(self, peer: str) -> Held | None:
        """Lets one in, in the place of another if need be; None when nothing is left for it but to hang up."""
        held, limits = Held(network_of(peer)), self.limits
        line = self._by_address.get(held.address)
        if line is not None and not self._room(line, limits.per_address):
            self._say(held, f"{line.count} of one address (--http-connections-per-address-max)")
            held.extra = True
        elif not self._room(self._all, limits.connections):
            self._say(held, f"{self._all.count} (--http-connections-max)")
            held.extra = True
        if held.extra and not self._room(self._extra, EXTRA_MAX):
            return None
        for one in self._lines(held):
            one.count += 1
            one.move(held, State.SILENT)
        self._observe(self._all.count)
        return held

    def now(self, held: Held, state: State) -> None:
        """What it does now."""
        if held.state in {state, State.GONE}:
            return
        for line in self._lines(held):
            line.move(held, state)
        held.state, held.since = state, time.monotonic()

    def leave(self, held: Held) -> None:
        """It is closed, or will be. Once is enough, twice no harm."""
        if held.state is State.GONE:
            return
        lines = self._lines(held)
        self.now(held, State.GONE)
        for line in lines:
            line.count -= 1
        if not held.extra and not lines[0].count:
            del self._by_address[held.address]
        self._observe(self._all.count)

    def shed(self) -> None:
        """Ends the one that goes first, if one may: there is something else that it takes from others."""
        self._shed(self._all)

    def _lines(self, held: Held) -> tuple[_Line, ...]:
        if held.extra:
            return (self._extra,)
        return self._by_address.setdefault(held.address, _Line()), self._all

    def _room(self, line: _Line, most: int) -> bool:
        return line.count < most or self._shed(line)

    def _shed(self, line: _Line) -> bool:
        held = line.first()
        if held is None:
            return False
        self.leave(held)
        held.end()
        return True

    def _say(self, held: Held, full: str) -> None:
        if not self._brake.wait_s(""):
            _log.warning("http_connections_full", connections=full, peer=held.address)
