"""Priorities of threads: when the processor is short, the event loop's thread runs before gRPC's."""

import os
import sys
import threading
from contextlib import suppress
from pathlib import Path

# After this time a thread that wants Python's lock gets it. gRPC's threads need it to deliver events; Python's default
# of 5 ms is longer than a turn of the event loop should take.
SWITCH_S = 0.0005
# gRPC's threads get this much less priority. Most of their work is for strangers: handshakes, and refused calls. They
# still run whenever the event loop leaves processor time.
NICE = 10

_TASKS = Path("/proc/self/task")


def let_the_loop_go_first() -> None:
    """Call it when gRPC's threads run; threads that they start inherit the priority. Linux only."""
    sys.setswitchinterval(SWITCH_S)
    if not _TASKS.is_dir():
        return
    ours = {thread.native_id for thread in threading.enumerate()}
    nice = min(19, os.getpriority(os.PRIO_PROCESS, 0) + NICE)
    for thread in (int(task.name) for task in _TASKS.iterdir()):
        if thread not in ours:
            with suppress(OSError):  # the thread has ended, or may not be changed
                os.setpriority(os.PRIO_PROCESS, thread, nice)
