"""What tests of the engine share: a clock they move, jobs, leases, raw scripts, and all that is stored of a queue.

This package is the facade; tests import from here.
"""

from tests.support.engine.lab import Lab, Reply, Wakes
from tests.support.engine.stored import all_keys, audit, command, dump
from tests.support.engine.values import (
    DAY_MS,
    LEASE_MS,
    START_MS,
    Clock,
    Taken,
    a_job,
    new_id,
    new_token,
)
from tests.support.ids import new_queue

__all__ = [
    "DAY_MS",
    "LEASE_MS",
    "START_MS",
    "Clock",
    "Lab",
    "Reply",
    "Taken",
    "Wakes",
    "a_job",
    "all_keys",
    "audit",
    "command",
    "dump",
    "new_id",
    "new_queue",
    "new_token",
]
