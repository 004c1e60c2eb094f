"""Runs one program that must end when the process that asked for it has died, however that died.

Usage: python _child.py PARENT_PID PROGRAM ARGUMENT... (by path; it imports nothing of Relay)

On Linux the kernel sends the program SIGTERM and nothing but the program stays; elsewhere this process stays
and looks every half second.

relay_server/storage/_guard.py does the same for the embedded store, and is not shared: command line and server must
work without each other, the store is killed where a program of ours drains, and 20 lines are no reason for a package.
"""

import ctypes
import os
import signal
import subprocess
import sys

_PR_SET_PDEATHSIG = 1
_KILL_AFTER_S = 15


def main() -> int:
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux" and ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0) == 0:
        if os.getppid() != parent:  # it died before the kernel knew
            return 1
        os.execv(command[0], command)  # noqa: S606 - the setting survives exec
    return _watch(parent, command)


def _watch(parent: int, command: list[str]) -> int:
    child = subprocess.Popen(command)
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    while True:
        try:
            return child.wait(timeout=0.5)
        except subprocess.TimeoutExpired:
            if os.getppid() != parent:
                break
    child.terminate()
    try:
        return child.wait(timeout=_KILL_AFTER_S)
    except subprocess.TimeoutExpired:
        child.kill()
        return 1


if __name__ == "__main__":
    sys.exit(main())
