"""Handlers for tests that need them in a module: worker processes and CPU-bound handlers."""

import asyncio
import atexit
import os
import signal
import time
from pathlib import Path
from typing import Any

from opentelemetry import trace

from relay_worker import Context, Jobs, Reject

jobs = Jobs()
empty = Jobs()
not_jobs = 3


@jobs.handler("sleep")
async def sleep(payload: dict[str, float]) -> None:
    await asyncio.sleep(payload["seconds"])


@jobs.handler("stubborn")
def stubborn(payload: dict[str, float]) -> None:
    time.sleep(payload["seconds"])


@jobs.handler("block")
async def block(payload: dict[str, float]) -> None:
    time.sleep(payload["seconds"])  # noqa: ASYNC251 - handlers that do this are what is tested


@jobs.handler("cpu", cpu=True)
def cpu(payload: dict[str, Any], ctx: Context) -> None:
    match payload["do"]:
        case "hang":
            while True:
                pass
        case "pid":
            ctx.progress(0.5, str(os.getpid()))
        case "reject":
            raise Reject(f"attempt {ctx.attempt}")
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case "wait":
            time.sleep(payload["seconds"])


@jobs.handler("cpu-limited", cpu=True, max_runtime="1s")
def cpu_limited(payload: None) -> None:
    while True:
        pass


@jobs.handler("traced-cpu", cpu=True)
def traced_cpu(payload: None) -> None:
    """Ends its job with an error that is named after the current span."""
    span_id = trace.get_current_span().get_span_context().span_id
    raise type(f"Span{span_id:016x}", (Exception,), {"__module__": "builtins"})


@atexit.register
def _note_the_end() -> None:
    path = os.environ.get("TEST_ATEXIT_FILE")
    if path:
        Path(path).write_text("ended")
