"""Makes delayed jobs ready when their time comes, in queues that nobody is claiming from too."""

from relay_server.engine import Names, Transitions
from relay_server.loops.loop import Loop, LoopMetrics
from relay_server.loops.sweep import Sweep, SweepResult


def make_sweep(transitions: Transitions, names: Names) -> Sweep:
    return Sweep("promoter", transitions.promote, transitions.promote_many, names)


def make_promoter(transitions: Transitions, names: Names, metrics: LoopMetrics) -> Loop[SweepResult]:
    """Sleeps until the next job is due, at most 5 s. Several servers may run it at once."""
    sweep = make_sweep(transitions, names)
    return Loop("promoter", sweep.run_once, pause_s=sweep.pause_s, metrics=metrics)
