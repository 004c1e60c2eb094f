"""Goes over all queues with one bounded step each, and knows when which queue needs the next."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from relay_server import errors
from relay_server.engine import Engine, Operations
from relay_server.loops.loop import jittered
from relay_server.model import Swept
from relay_server.observability.snapshots import store_now_ms

_log = structlog.get_logger(__name__)

CAP_S = 5.0
FLOOR_S = 0.05
_AT_ONCE = 16
_STEPS_MAX = 20  # a queue with a mountain of work lets the others have their turn
# What is due again within this part of the cap is looked at in the same round, so idle queues share one round.
_SAME_ROUND = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepResult:
    """Jobs moved and buried, queues looked at and failed, and how long nothing is due; at most 5 s."""

    taken: int
    buried: int
    queues: int
    failed: int
    wait_s: float


@dataclass(slots=True)
class _Round:
    """What is known of a queue: when its next job is due by the store's clock (0: none), and since when we know."""

    next_at_ms: int
    looked_at: float
    failing: bool = False


class Sweep:
    """Calls `step` for each queue that is due, until nothing more is to do there. Looks at every queue within 5 s."""

    def __init__(
        self,
        name: str,
        step: Callable[[str], Awaitable[Swept]],
        engine: Engine,
        ops: Operations,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._step = step
        self._directory = engine.directory
        self._ops = ops
        self._clock = clock
        self._rounds: dict[str, _Round] = {}
        self._gate = asyncio.Semaphore(_AT_ONCE)

    async def run_once(self) -> SweepResult:
        """One round. Raises StoreUnavailable when the store cannot be asked at all."""
        names = set(await self._directory.names())
        self._rounds = {name: known for name, known in self._rounds.items() if name in names}
        now_ms = await store_now_ms(self._ops)
        due = [name for name in names if self._is_due(name, now_ms)]
        done = await asyncio.gather(*(self._queue(name, now_ms) for name in due))
        failures = [error for _, error in done if error is not None]
        away = [error for error in failures if isinstance(error, errors.StoreUnavailable)]
        if away and len(away) == len(due):
            raise away[0]
        return SweepResult(
            taken=sum(swept.taken for swept, _ in done),
            buried=sum(swept.buried for swept, _ in done),
            queues=len(due),
            failed=len(failures),
            wait_s=self._wait_s(now_ms),
        )

    def pause_s(self, result: SweepResult) -> float:
        """Until the next job is due: at least 50 ms, at most 5 s, jittered."""
        return jittered(result.wait_s)

    def _is_due(self, name: str, now_ms: int) -> bool:
        known = self._rounds.get(name)
        if known is None or self._clock() - known.looked_at >= CAP_S * _SAME_ROUND:
            return True
        return 0 < known.next_at_ms <= now_ms

    async def _queue(self, name: str, now_ms: int) -> tuple[Swept, Exception | None]:
        async with self._gate:
            taken = buried = 0
            error: Exception | None = None
            next_at_ms = 0
            try:
                for _ in range(_STEPS_MAX):
                    swept = await self._step(name)
                    taken, buried, next_at_ms = taken + swept.taken, buried + swept.buried, swept.next_at_ms
                    if not swept.more:
                        break
                else:
                    next_at_ms = now_ms  # the rest in the next round
            except Exception as failure:  # noqa: BLE001 - one bad queue must not stop the others
                error = failure
            self._note(name, next_at_ms, error)
            return Swept(taken, buried, False, next_at_ms), error

    def _note(self, name: str, next_at_ms: int, error: Exception | None) -> None:
        if isinstance(error, errors.StoreUnavailable):
            self._rounds.pop(name, None)  # nothing is known of it: it is due in the next round
            return
        before = self._rounds.get(name)
        failing = error is not None
        if failing and not (before and before.failing):
            _log.warning("queue_sweep_failed", loop=self._name, queue=name, error=repr(error))
        elif before and before.failing and error is None:
            _log.info("queue_sweep_recovered", loop=self._name, queue=name)
        self._rounds[name] = _Round(next_at_ms, self._clock(), failing)

    def _wait_s(self, now_ms: int) -> float:
        nearest = min((known.next_at_ms for known in self._rounds.values() if known.next_at_ms), default=0)
        if not nearest:
            return CAP_S
        return min(CAP_S, max(FLOOR_S, (nearest - now_ms) / 1000))
