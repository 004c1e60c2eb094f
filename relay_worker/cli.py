"""`relay-worker MODULE:JOBS`: turns arguments and environment into a Worker, signals into stop, its end into a code."""

from __future__ import annotations

import asyncio
import atexit
import importlib
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from types import FrameType
from typing import Annotated, TextIO, TypeVar, cast

import structlog
import typer

from relay_client.connection import connection
from relay_client.durations import parse_duration
from relay_client.limits import IN_FLIGHT_MAX, WEIGHT_MAX
from relay_worker.registry import Jobs
from relay_worker.worker import (
    GRACE_S_MAX,
    LEASE_S_MAX,
    LEASE_S_MIN,
    CannotListen,
    Worker,
    WorkerConfig,
    WorkerFailed,
)

EXIT_OK = 0
EXIT_FAILED = 1
# After everything is settled the loop has this long to end by itself; a handler may be blocking it.
_LOOP_ENDS_S = 1.0

_T = TypeVar("_T")

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


class LogFormat(StrEnum):
    """How log lines look."""

    CONSOLE = "console"
    JSON = "json"


@app.command(
    help="Claims jobs from a Relay server and runs the handlers of JOBS, a relay_worker.Jobs object in module MODULE. "
    "SIGTERM or Ctrl-C drains: running handlers finish within the grace, the rest is released; a second one "
    "exits at once. Exit codes: 0 drained, 1 refused by the server or jobs left unsettled, 2 bad options.",
)
def _main(
    jobs: Annotated[
        str,
        typer.Argument(metavar="MODULE:JOBS", help="Where the handlers are, for example myapp.jobs:jobs."),
    ],
    queue: Annotated[
        list[str],
        typer.Option(
            "--queue",
            "-q",
            envvar="RELAY_WORKER_QUEUE",
            metavar="NAME[=WEIGHT]",
            help="Queue to claim from, and its share of the slots: 1 to 100, default 1. Repeatable.",
        ),
    ],
    server: Annotated[
        str,
        typer.Option(
            envvar="RELAY_SERVER", metavar="HOST:PORT", help="The server, or several separated by commas."
        ),
    ] = "localhost:50051",
    concurrency: Annotated[
        int,
        typer.Option(
            min=1,
            max=IN_FLIGHT_MAX,
            envvar="RELAY_WORKER_CONCURRENCY",
            help="Handlers at once; no more jobs than this are held.",
        ),
    ] = 16,
    lease: Annotated[
        str,
        typer.Option(
            envvar="RELAY_WORKER_LEASE",
            metavar="DURATION",
            help="How long a job stays ours without a heartbeat, 1s to 1h; extended every third of it.",
        ),
    ] = "30s",
    grace: Annotated[
        str,
        typer.Option(
            envvar="RELAY_WORKER_GRACE",
            metavar="DURATION",
            help="How long running handlers may finish after SIGTERM, 0s to 1d.",
        ),
    ] = "20s",
    metrics: Annotated[
        str,
        typer.Option(
            envvar="RELAY_WORKER_METRICS",
            metavar="HOST:PORT",
            help="Serve /metrics and /healthz there; empty: do not.",
        ),
    ] = "",
    log_format: Annotated[
        LogFormat,
        typer.Option(envvar="RELAY_WORKER_LOG_FORMAT", help="Log lines for people or for machines."),
    ] = LogFormat.CONSOLE,
    token: Annotated[
        str,
        typer.Option(
            envvar="RELAY_TOKEN",
            metavar="TOKEN",
            help="Bearer token for the server; better given in the environment.",
            show_default=False,
        ),
    ] = "",
    tls: Annotated[
        bool, typer.Option("--tls", envvar="RELAY_TLS", help="Encrypt the connection and check the server.")
    ] = False,
    ca_file: Annotated[
        str,
        typer.Option(
            envvar="RELAY_CA_FILE", metavar="FILE", help="Authorities to trust, PEM; empty: the system's."
        ),
    ] = "",
    cert_file: Annotated[
        str,
        typer.Option(
            envvar="RELAY_CERT_FILE", metavar="FILE", help="Certificate of this worker, PEM; with --key-file."
        ),
    ] = "",
    key_file: Annotated[
        str, typer.Option(envvar="RELAY_KEY_FILE", metavar="FILE", help="Key of --cert-file, PEM.")
    ] = "",
) -> None:
    configure_logs(log_format)
    queues = _checked("--queue", lambda: parse_queues(queue))
    address = _checked(
        "--server",
        lambda: connection(
            server,
            tls=tls,
            ca_file=ca_file or None,
            cert_file=cert_file or None,
            key_file=key_file or None,
            token=token or None,
        ),
    )
    config = _checked(
        "options",
        lambda: WorkerConfig(
            queues=queues,
            server=address,
            concurrency=concurrency,
            lease_s=_checked("--lease", lambda: _between(lease, LEASE_S_MIN, LEASE_S_MAX)),
            grace_s=_checked("--grace", lambda: _between(grace, 0, GRACE_S_MAX)),
            metrics=_checked("--metrics", lambda: _address(metrics)) if metrics else None,
        ),
    )
    try:
        registry = load_jobs(jobs)
    except NoSuchJobs as error:
        raise _usage("MODULE:JOBS", str(error)) from None
    raise typer.Exit(_run(Worker(registry, config), config, registry))


def main() -> None:
    """The entry point of the program `relay-worker`."""
    app()


class NoSuchJobs(Exception):
    """MODULE:JOBS names no Jobs object. An exception that the module itself raises keeps its type and its traceback."""


def load_jobs(path: str) -> Jobs:
    """Imports MODULE:JOBS, with the current folder on the path. NoSuchJobs says which part is wrong."""
    module_name, colon, name = path.partition(":")
    if not colon or not module_name or not name:
        raise NoSuchJobs(f"{path!r} is not MODULE:JOBS; write for example myapp.jobs:jobs")
    here = str(Path.cwd())
    if "" not in sys.path and here not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and (module_name + ".").startswith(error.name + "."):
            raise NoSuchJobs(
                f"no module named {error.name!r}; run in its folder, set PYTHONPATH, or correct the name"
            ) from None
        raise  # the module is there, and something it imports is not
    found = getattr(module, name, None)
    if not isinstance(found, Jobs):
        have = ", ".join(key for key, value in vars(module).items() if isinstance(value, Jobs)) or "none"
        raise NoSuchJobs(f"{module_name} has no Jobs object named {name!r} (Jobs objects in it: {have})")
    if not len(found):
        raise NoSuchJobs(f"{path} has no handlers; register them with @{name}.handler(...)")
    return found


def parse_queues(values: list[str]) -> dict[str, int]:
    """NAME[=WEIGHT] -> weights. ValueError names the one that is wrong."""
    queues: dict[str, int] = {}
    for value in values:
        name, equals, weight = value.partition("=")
        if not name:
            raise ValueError(f"{value!r} has no queue name; write NAME or NAME=WEIGHT")
        if equals and not (weight.isascii() and weight.isdigit() and 1 <= int(weight) <= WEIGHT_MAX):
            raise ValueError(f"{value!r}: the weight must be a whole number from 1 to {WEIGHT_MAX}")
        if name in queues:
            raise ValueError(f"{name!r} is named twice")
        queues[name] = int(weight) if equals else 1
    return queues


def configure_logs(log_format: LogFormat) -> None:
    """One line an event on stderr, in the format asked for."""
    colours = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if log_format is LogFormat.JSON
        else structlog.dev.ConsoleRenderer(colors=colours)
    )
    processors: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if log_format is LogFormat.JSON:
        processors.append(structlog.processors.format_exc_info)
    structlog.configure(
        processors=[*processors, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(file=cast(TextIO, _Lines(sys.stderr))),
        cache_logger_on_first_use=True,
    )


class _Lines:
    """The stream of log lines. A line that cannot be written is lost, or its thread would end."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with suppress(OSError, ValueError):
            self._stream.write(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()


def _run(worker: Worker, config: WorkerConfig, registry: Jobs) -> int:
    log = structlog.get_logger("relay_worker")
    code = [EXIT_OK]
    _on_signals(worker)
    threading.Thread(target=_end_anyway, args=(worker, code), name="relay-end", daemon=True).start()
    log.info(
        "worker", id=config.worker_id, server=",".join(config.server.targets), queues=dict(config.queues),
        concurrency=config.concurrency, lease_s=config.lease_s, handlers=[handler.type for handler in registry],
    )  # fmt: skip
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(worker.run())
    except WorkerFailed as error:
        code[0] = EXIT_FAILED
        log.error("worker failed", error=str(error))  # noqa: TRY400 - the text says it; a stack would hide it
    except CannotListen as error:
        raise _usage("--metrics", f"cannot listen there: {error.strerror or error}") from None
    code[0] = code[0] or _code(worker)
    atexit._run_exitfuncs()  # what handlers' modules registered, such as flushing traces
    _flush()
    # Threads that hang in handlers would keep the interpreter from ending; their jobs are settled.
    os._exit(code[0])


def _code(worker: Worker) -> int:
    return EXIT_FAILED if worker.unsettled else EXIT_OK


def _end_anyway(worker: Worker, code: list[int]) -> None:
    """Ends the process when the worker has drained and a handler still blocks the loop."""
    worker.stopped.wait()
    time.sleep(_LOOP_ENDS_S)
    _flush()
    os._exit(code[0] or _code(worker))


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        _Lines(stream).flush()


def _on_signals(worker: Worker) -> None:
    again = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        if again.is_set():
            os._exit(128 + number)
        again.set()
        worker.stop()

    # Not loop.add_signal_handler: it waits for a turn of the loop, which a handler may be blocking.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def _between(text: str, least_s: float, most_s: float) -> float:
    value = parse_duration(text).total_seconds()
    if not least_s <= value <= most_s:
        raise ValueError(f"{text!r} is not between {least_s:g} s and {most_s:g} s")
    return value


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not (port.isascii() and port.isdigit() and int(port) <= 65535):
        raise ValueError(f"{text!r} is not HOST:PORT; write for example 127.0.0.1:9100")
    return host.strip("[]"), int(port)


def _checked(option: str, read: Callable[[], _T]) -> _T:
    try:
        return read()
    except (ValueError, TypeError) as error:
        raise _usage(option, str(error)) from None


def _usage(option: str, message: str) -> typer.BadParameter:
    return typer.BadParameter(message, param_hint=option)


if __name__ == "__main__":
    main()
