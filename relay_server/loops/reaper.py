"""Ends leases whose deadline has passed, in queues that nobody is claiming from too."""

from relay_server.engine import Names, Transitions
from relay_server.loops.loop import Loop, LoopMetrics
from relay_server.loops.sweep import Sweep, SweepResult


def make_sweep(transitions: Transitions, names: Names) -> Sweep:
    return Sweep("reaper", transitions.reap, transitions.reap_many, names, watches=True)


def make_reaper(transitions: Transitions, names: Names, metrics: LoopMetrics) -> Loop[SweepResult]:
    """Sleeps until the next deadline, at most 5 s. Several servers may run it at once: the store checks expiry.

    A queue with leases is looked at every 5 s, used or not: without a look for longer the store takes it for an outage.
    """
    sweep = make_sweep(transitions, names)
    return Loop("reaper", sweep.run_once, pause_s=sweep.pause_s, metrics=metrics)
