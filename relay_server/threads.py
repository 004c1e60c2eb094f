"""Whose turn it is when the processor is short: the event loop's thread, before those of gRPC."""

import os
import sys
import threading
from contextlib import suppress
from pathlib import Path

# A thread that waits for Python's lock is asked to wait no longer than this; Python's own 5 ms is longer than a turn of
# the event loop should be, and gRPC's events wait for the lock.
SWITCH_S = 0.0005
# Lower by so much. What they do most of is what strangers ask for: handshakes, and calls that are refused. They go on
# as long as the loop does not need all there is.
NICE = 10

_TASKS = Path("/proc/self/task")


def let_the_loop_go_first() -> None:
    """To be called when gRPC's threads run; those that they start themselves are as they are. Linux only."""
    sys.setswitchinterval(SWITCH_S)
    if not _TASKS.is_dir():
        return
    ours = {thread.native_id for thread in threading.enumerate()}
    nice = min(19, os.getpriority(os.PRIO_PROCESS, 0) + NICE)
    for thread in (int(task.name) for task in _TASKS.iterdir()):
        if thread not in ours:
            with suppress(OSError):  # it has ended, or may not be changed
                os.setpriority(os.PRIO_PROCESS, thread, nice)
