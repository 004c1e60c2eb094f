"""The processes of a run: Redis, servers, workers and producers, each of which can be hurt and comes back.

async with Fleet.start(servers=2, workers=3) as fleet:
    async with fleet.producing(rate=300): ...
    verdict, settled = await fleet.judge()

This package is the facade; tests import from here.
"""

from tests.support.fleet.figures import Sheet, Throughput, sampled
from tests.support.fleet.fleet import Fleet, completions
from tests.support.fleet.producer import QUEUE, Producer, small_jobs
from tests.support.fleet.queue_view import Settled
from tests.support.fleet.units import ServerUnit, WorkerUnit, alive

__all__ = [
    "QUEUE",
    "Fleet",
    "Producer",
    "ServerUnit",
    "Settled",
    "Sheet",
    "Throughput",
    "WorkerUnit",
    "alive",
    "completions",
    "sampled",
    "small_jobs",
]
