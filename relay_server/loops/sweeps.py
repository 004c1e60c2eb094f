"""Reaper and promoter: end leases and make delayed jobs ready, in queues that nobody is claiming from too."""

from relay_server.engine import Names, Transitions
from relay_server.loops.loop import Loop, LoopMetrics
from relay_server.loops.sweep import Sweep, SweepResult


def reaper(transitions: Transitions, names: Names) -> Sweep:
    """Ends leases whose deadline has passed.

    A queue with leases is looked at every 5 s, used or not: without a look for longer the store takes it for an outage.
    """
    return Sweep("reaper", transitions.reap, transitions.reap_many, names, watches=True)


def promoter(transitions: Transitions, names: Names) -> Sweep:
    """Makes delayed jobs ready when their time comes."""
    return Sweep("promoter", transitions.promote, transitions.promote_many, names)


def make_sweeps(transitions: Transitions, names: Names, metrics: LoopMetrics) -> list[Loop[SweepResult]]:
    """Both sleep until a job is due, at most 5 s. Several servers may run them at once: the store checks the time."""
    return [
        _loop(reaper(transitions, names), "reaped", metrics),
        _loop(promoter(transitions, names), "promoted", metrics),
    ]


def _loop(sweep: Sweep, taken: str, metrics: LoopMetrics) -> Loop[SweepResult]:
    return Loop(
        sweep.name,
        sweep.run_once,
        pause_s=sweep.pause_s,
        metrics=metrics,
        jobs=lambda result: {taken: result.taken, "buried": result.buried},
    )
