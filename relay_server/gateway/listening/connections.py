"""Counts the connections of a listener, in all and by address, and chooses the one that makes room.

Connections that wait for their client go first: in the order of State, and within a state the one that has been in it
longest. A connection that the server works for is never ended for another.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

import structlog

from relay_server.security.brake import Brake, network_of

_log = structlog.get_logger(__name__)

# So many are let in over the limits: they get the answer that there is no room, and probes get through.
EXTRA_MAX = 32
_LINES_PER_MINUTE_MAX = 2
_GRACE_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """The most connections at once, of all and of one address, and the most seconds in a state.

    `header_s` is for the TLS handshake and for the headers of a request, `idle_s` for waiting between requests,
    `write_s` for a reader that takes nothing.
    """

    connections: int = 2000
    per_address: int = 500
    header_s: float = 10.0
    idle_s: float = 30.0
    write_s: float = 30.0


class State(Enum):
    """The state of a connection, in the order in which they make room. SERVED never does."""

    SILENT = "silent"  # has sent no request yet
    IDLE = "idle"
    RECEIVING = "receiving"  # a part of a body: the request was not run yet
    STALLED = "stalled"  # its reader does not take the answer
    SERVED = "served"
    GONE = "gone"


_GO = (State.SILENT, State.IDLE, State.RECEIVING, State.STALLED)


@dataclass(eq=False, slots=True)
class Held:
    """A connection that was let in. `end` cuts it off. `extra`: it is over a limit and gets one answer that says so."""

    address: str
    extra: bool = False
    state: State = State.SILENT
    since: float = field(default_factory=time.monotonic)  # when it came into its state
    end: Callable[[], object] = field(default=lambda: None)


class _Line:
    """Connections in the order in which they make room. `count` includes the served ones."""

    def __init__(self) -> None:
        self.count = 0
        self._waiting: dict[State, OrderedDict[Held, None]] = {state: OrderedDict() for state in _GO}

    def first(self) -> Held | None:
        """The connection that makes room. One that came into its state within the last second goes last."""
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
    """The connections of one listener. `observe` is called with their number."""

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
        """Lets a connection in, in place of another if need be. None: no room even to refuse it, so close it."""
        held, limits = Held(network_of(peer)), self.limits
        line = self._by_address.get(held.address)
        if line is not None and not self._room(line, limits.per_address):
            self._warn(held, f"{line.count} of one address (--http-connections-per-address-max)")
            held.extra = True
        elif not self._room(self._all, limits.connections):
            self._warn(held, f"{self._all.count} (--http-connections-max)")
            held.extra = True
        if held.extra and not self._room(self._extra, EXTRA_MAX):
            return None
        for one in self._lines(held):
            one.count += 1
            one.move(held, State.SILENT)
        self._observe(self._all.count)
        return held

    def now(self, held: Held, state: State) -> None:
        """Notes the state of a connection."""
        if held.state in {state, State.GONE}:
            return
        for line in self._lines(held):
            line.move(held, state)
        held.state, held.since = state, time.monotonic()

    def leave(self, held: Held) -> None:
        """Forgets a connection that is closed or will be. A second call does nothing."""
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
        """Ends the first connection that may make room, when file descriptors or the like run out."""
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

    def _warn(self, held: Held, full: str) -> None:
        if not self._brake.wait_s(""):
            _log.warning("http_connections_full", connections=full, peer=held.address)
