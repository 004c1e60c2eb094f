"""Runs one program that must not outlive the process that asked for it.

Usage: python _guard.py MODE PARENT_PID PROGRAM ARGUMENT... (by path; it imports nothing of Relay)

It is a program of its own because the parent has threads, where code between fork and exec (preexec_fn)
can deadlock. MODE `signal` lets the Linux kernel kill PROGRAM and leaves nothing behind but PROGRAM itself;
`watch` works on every system: it stays, and looks every half second whether the parent is still there.
"""

import ctypes
import os
import signal
import subprocess
import sys

PR_SET_PDEATHSIG = 1


def main() -> int:
    mode, parent, command = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    if mode == "signal" and _ask_kernel():
        if os.getppid() != parent:  # the parent died before the kernel was asked
            return 1
        os.execv(command[0], command)  # noqa: S606 - the kernel's promise survives exec
    return _watch(parent, command)


def _ask_kernel() -> bool:
    # SIGKILL cannot be ignored, so nothing is left behind; with appendfsync always
    # it costs no more than a power loss does.
    libc = ctypes.CDLL(None, use_errno=True)
    return bool(libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) == 0)


def _watch(parent: int, command: list[str]) -> int:
    child = subprocess.Popen(command, close_fds=False)
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    while True:
        try:
            return child.wait(timeout=0.5)
        except subprocess.TimeoutExpired:
            if os.getppid() != parent:
                child.kill()


if __name__ == "__main__":
    sys.exit(main())
