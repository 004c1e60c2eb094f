"""Forgets queues that are empty and that nobody used for long. One that an operator configured or paused stays."""

from dataclasses import dataclass

import structlog

from relay_server import tasks
from relay_server.engine import Names, Operations
from relay_server.engine.damage import unless_damaged
from relay_server.loops.loop import Loop, LoopMetrics, jittered

_log = structlog.get_logger(__name__)

PAGE = 500
_AT_ONCE = 16
_EVERY_MAX_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetResult:
    """Queues looked at and forgotten."""

    looked_at: int
    forgotten: int


class Forgetter:
    """Looks at a page of the unused queues a run. Several servers may run it at once: the store says who was first."""

    def __init__(self, names: Names, ops: Operations, *, idle_s: float) -> None:
        self._names = names
        self._ops = ops
        self._idle_ms = int(idle_s * 1000)
        self._skip = 0  # those that are kept stay at the head of the list

    async def run_once(self) -> ForgetResult:
        unused = await self._names.unused(self._idle_ms, skip=self._skip, limit=PAGE)
        until_ms = unused.now_ms - self._idle_ms
        forgotten = sum(
            await tasks.each(unused.names, lambda queue: self._forget(queue, until_ms), at_once=_AT_ONCE)
        )
        self._skip = self._skip + PAGE - forgotten if len(unused.names) == PAGE else 0
        if forgotten:
            _log.info("idle_queues_forgotten", queues=forgotten, unused_for_s=self._idle_ms // 1000)
        return ForgetResult(looked_at=len(unused.names), forgotten=forgotten)

    async def _forget(self, queue: str, until_ms: int) -> bool:
        call = self._ops.forget_idle(queue, until_ms=until_ms)
        return await unless_damaged(call, False, event="queue_not_forgotten", queue=queue)


def make_forgetter(
    names: Names, ops: Operations, metrics: LoopMetrics, *, idle_s: float
) -> Loop[ForgetResult]:
    forgetter = Forgetter(names, ops, idle_s=idle_s)
    pause_s = min(_EVERY_MAX_S, idle_s / 10)
    return Loop("forgetter", forgetter.run_once, pause_s=lambda _: jittered(pause_s), metrics=metrics)
