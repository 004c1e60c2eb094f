"""Goes over the queues with one bounded step each, and knows when which queue needs the next."""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog

from relay_server import errors, tasks
from relay_server.engine import Names
from relay_server.engine.rotation import Rotation
from relay_server.engine.scripts import MANY_QUEUES
from relay_server.loops.loop import jittered
from relay_server.model import Swept

_log = structlog.get_logger(__name__)

CAP_S = 5.0
FLOOR_S = 0.05
_AT_ONCE, _LOOKS_AT_ONCE = 8, 2
_STEPS_MAX = 20  # a queue with a mountain of work lets the others have their turn
# What is due again within this part of the cap is looked at in the same round, so idle queues share one round.
_SAME_ROUND = 0.8
# While the first time round is under way.
_FIRST_WAIT_S = 0.5
_AWAY_MS = 1000
_FAILING_KEPT_S = 3600.0
_NOTHING = Swept(0, 0, False, 0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepResult:
    """Jobs moved and buried, queues looked at and failed, and how long nothing is due; at most 5 s."""

    taken: int
    buried: int
    queues: int
    failed: int
    wait_s: float


def _by_names_clock(swept: Swept, now_ms: int) -> int:
    """When to look again, by the clock of the node with the names, which says `now_ms`; 0: no need.

    The clocks of a cluster's nodes may be minutes apart.
    """
    return now_ms + swept.next_at_ms - swept.now_ms if swept.next_at_ms else 0


@dataclass(slots=True)
class _Round:
    """When the next job of a queue is due by the clock of the node with the names (0: none), and since when we know."""

    next_at_ms: int
    looked_at: float
    failing: bool = False


class Sweep:
    """Calls `look` for all queues that are due, many at once, and `step` where that left more, until nothing is.

    Queues that any server used of late are looked at every 5 s, and each queue when its next job is due. All others
    have their turn now and then, and once soon after the start: what they hold can only become due by the clock,
    and from that first look on it is known when.
    """

    def __init__(
        self,
        name: str,
        step: Callable[[str], Awaitable[Swept]],
        look: Callable[[Sequence[str]], Awaitable[list[Swept | Exception]]],
        names: Names,
        *,
        watches: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._watches = watches  # what holds something is looked at every 5 s, due or not
        self._step = step
        self._look = look
        self.names = names
        self._clock = clock
        self.rotation = Rotation(names, clock=clock)
        self._rounds: dict[str, _Round] = {}

    @property
    def remembered(self) -> int:
        """How many queues it knows when to look at again."""
        return len(self._rounds)

    async def run_once(self) -> SweepResult:
        """One round. Raises StoreUnavailable when the store cannot be asked at all."""
        used = await self.names.recent()
        now_ms = used.now_ms
        due = {name for name in (*used.names, *await self.rotation.take()) if self._is_due(name, now_ms)}
        due |= {
            name
            for name, known in self._rounds.items()
            if 0 < known.next_at_ms <= now_ms
            or (self._watches and known.next_at_ms and self._is_due(name, now_ms))
        }
        done: list[tuple[Swept, Exception | None]] = []
        busy: list[tuple[str, Swept]] = []
        for looked in await tasks.each(
            tasks.chunks(due, MANY_QUEUES), lambda names: self._look_at(names, now_ms), at_once=_LOOKS_AT_ONCE
        ):
            for name, swept, error in looked:
                if swept.more:
                    busy.append((name, swept))
                else:
                    done.append((swept, error))
        done += await tasks.each(busy, lambda one: self._queue(*one, now_ms), at_once=_AT_ONCE)
        failures = [error for _, error in done if error is not None]
        away = [error for error in failures if isinstance(error, errors.StoreUnavailable)]
        if away and len(away) == len(due):
            raise away[0]
        self._forget_the_quiet()
        return SweepResult(
            taken=sum(swept.taken for swept, _ in done),
            buried=sum(swept.buried for swept, _ in done),
            queues=len(due),
            failed=len(failures),
            wait_s=self._wait_s(now_ms),
        )

    def _forget_the_quiet(self) -> None:
        """What holds nothing that becomes due need not be known: the next use, or its turn, brings it back."""
        now = self._clock()
        self._rounds = {
            name: known
            for name, known in self._rounds.items()
            if known.next_at_ms or now - known.looked_at < (_FAILING_KEPT_S if known.failing else CAP_S)
        }

    def pause_s(self, result: SweepResult) -> float:
        """Until the next job is due: at least 50 ms, at most 5 s, jittered."""
        return jittered(result.wait_s)

    def _is_due(self, name: str, now_ms: int) -> bool:
        known = self._rounds.get(name)
        if known is None or self._clock() - known.looked_at >= CAP_S * _SAME_ROUND:
            return True
        return 0 < known.next_at_ms <= now_ms

    async def _look_at(self, names: Sequence[str], now_ms: int) -> list[tuple[str, Swept, Exception | None]]:
        """One script for all of them. A queue with `more` is not noted: it wants its own steps."""
        if len(names) == 1:
            return [(names[0], _NOTHING._replace(more=True), None)]
        looks: list[tuple[str, Swept, Exception | None]] = []
        for name, answer in zip(names, await self._look(names), strict=True):
            error = answer if isinstance(answer, Exception) else None
            swept = _NOTHING if isinstance(answer, Exception) else answer
            if not swept.more:
                self._note(name, _by_names_clock(swept, now_ms), error, now_ms)
            looks.append((name, swept, error))
        return looks

    async def _queue(self, name: str, looked: Swept, now_ms: int) -> tuple[Swept, Exception | None]:
        """Steps until nothing more is to do, beside what the look did already."""
        taken, buried = looked.taken, looked.buried
        error: Exception | None = None
        next_at_ms = 0
        try:
            for _ in range(_STEPS_MAX):
                swept = await self._step(name)
                taken, buried = taken + swept.taken, buried + swept.buried
                next_at_ms = _by_names_clock(swept, now_ms)
                if not swept.more:
                    break
            else:
                next_at_ms = now_ms  # the rest in the next round
        except Exception as failure:  # noqa: BLE001 - one bad queue must not stop the others
            error = failure
        self._note(name, next_at_ms, error, now_ms)
        return Swept(taken, buried, False, next_at_ms, now_ms), error

    def _note(self, name: str, next_at_ms: int, error: Exception | None, now_ms: int) -> None:
        if isinstance(error, errors.StoreUnavailable):
            # Nothing new is known of it, and it may be one that nobody else looks at.
            known = self._rounds.get(name)
            failed = known is not None and known.failing
            self._rounds[name] = _Round(now_ms + _AWAY_MS, self._clock() - CAP_S, failed)
            return
        before = self._rounds.get(name)
        failing = error is not None
        if failing and not (before and before.failing):
            _log.warning("queue_sweep_failed", loop=self.name, queue=name, error=repr(error))
        elif before and before.failing and error is None:
            _log.info("queue_sweep_recovered", loop=self.name, queue=name)
        if before is None:
            self._rounds[name] = _Round(next_at_ms, self._clock(), failing)
        else:
            before.next_at_ms, before.looked_at, before.failing = next_at_ms, self._clock(), failing

    def _wait_s(self, now_ms: int) -> float:
        cap_s = CAP_S if self.rotation.rounds else _FIRST_WAIT_S
        nearest = min((known.next_at_ms for known in self._rounds.values() if known.next_at_ms), default=0)
        if not nearest:
            return cap_s
        return min(cap_s, max(FLOOR_S, (nearest - now_ms) / 1000))
