"""Makes delayed jobs ready when their time comes, in queues that nobody is claiming from too."""

from relay_server.engine import Engine
from relay_server.loops.loop import Loop, LoopMetrics
from relay_server.loops.sweep import Sweep, SweepResult


def make_sweep(engine: Engine) -> Sweep:
    return Sweep("promoter", engine.promote, engine.promote_many, engine)


def make_promoter(engine: Engine, metrics: LoopMetrics) -> Loop[SweepResult]:
    """Sleeps until the next job is due, at most 5 s. Several servers may run it at once."""
    sweep = make_sweep(engine)
    return Loop("promoter", sweep.run_once, pause_s=sweep.pause_s, metrics=metrics)
