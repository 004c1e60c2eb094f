"""What a server asks of its process: open files, and a clean end on signals."""

import asyncio
import os
import resource
import signal
from contextlib import suppress

import structlog

_log = structlog.get_logger(__name__)

_OTHER_FILES = 256  # connections to Redis, listeners, files


def allow_open_files(connections: int) -> None:
    """Raises the process's limit of open files for so many connections: a shell's default is 1024.

    Warns when the system allows fewer.
    """
    wanted = connections + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY or soft < hard:
        most = max(soft, wanted) if hard == resource.RLIM_INFINITY else hard
        with suppress(ValueError, OSError):  # some systems have a further limit
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
            soft = most
    if soft < wanted:
        text = (
            "raise the limit (ulimit -n, LimitNOFILE) or lower --connections-max and --http-connections-max"
        )
        _log.warning("few_open_files", may_open=soft, connections=connections, fix=text)


def stop_on_signals(stop: asyncio.Event) -> None:
    """Sets `stop` at the first SIGTERM or SIGINT; the second one ends the process at once, with 130."""

    def stop_or_exit() -> None:
        if stop.is_set():
            os._exit(130)
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop_or_exit)
