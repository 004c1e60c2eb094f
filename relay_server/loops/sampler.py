"""Reads how the queues stand, for metrics every few seconds and for the history each minute."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from relay_server import tasks
from relay_server.engine import Operations
from relay_server.engine.damage import undamaged
from relay_server.engine.operations import MANY_HISTORIES
from relay_server.engine.snapshots import Snapshots
from relay_server.loops.loop import Loop, LoopMetrics, jittered
from relay_server.model import QueueSnapshot

INTERVAL_S = 5.0
_MINUTE_MS = 60_000
_AT_ONCE = 2
_AFTER_THE_MINUTE_S = 0.05


class SamplerMetrics(LoopMetrics, Protocol):
    """Takes the samples; observability.Metrics does."""

    def sampled(self, snapshots: Sequence[QueueSnapshot]) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleResult:
    """Queues there are, history rows written, and when to look again."""

    queues: int
    recorded: int
    wait_s: float


class Sampler:
    """Several servers may run it at once: the first to write a minute's row wins."""

    def __init__(self, ops: Operations, metrics: SamplerMetrics, snapshots: Snapshots) -> None:
        self._ops = ops
        self._metrics = metrics
        self._snapshots = snapshots
        self._minute: int | None = None

    async def run_once(self) -> SampleResult:
        await self._snapshots.refresh()
        now_ms = self._snapshots.now_ms
        snapshots = self._snapshots.all()
        self._metrics.sampled(snapshots)
        recorded = 0
        minute = now_ms // _MINUTE_MS
        if self._minute is not None and minute > self._minute:
            # A queue that nobody used has the totals of its last row.
            recorded = await self._record(self._snapshots.used, minute - 1)
        self._minute = minute
        # A row should hold the totals at its minute's end, so the first look of a minute comes early.
        to_minute_s = (_MINUTE_MS - now_ms % _MINUTE_MS) / 1000 + _AFTER_THE_MINUTE_S
        return SampleResult(
            queues=len(snapshots),
            recorded=recorded,
            wait_s=min(jittered(INTERVAL_S), to_minute_s),
        )

    async def _record(self, names: Iterable[str], minute: int) -> int:
        """How many rows were written."""

        async def record(chunk: Sequence[str]) -> int:
            return sum(
                undamaged(answer, False, event="history_not_recorded", queue=queue)
                for queue, answer in zip(chunk, await self._ops.record_history(chunk, minute), strict=True)
            )

        return sum(await tasks.each(tasks.chunks(names, MANY_HISTORIES), record, at_once=_AT_ONCE))


def make_sampler(ops: Operations, metrics: SamplerMetrics, snapshots: Snapshots) -> Loop[SampleResult]:
    sampler = Sampler(ops, metrics, snapshots)
    return Loop("sampler", sampler.run_once, pause_s=lambda result: result.wait_s, metrics=metrics)
