"""For tests of handlers: run one with no broker, or a real server by `pytest_plugins = ["relay_worker.testing"]`."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import time
import uuid
from collections.abc import Mapping
from typing import Any

from relay_worker.context import Context
from relay_worker.model import HeldJob, LeaseGroup
from relay_worker.outcome import Ack, Drop, JobFailure, MaxRuntimeExceeded, Nack, Outcome, outcome_of
from relay_worker.registry import Handler, Jobs

__all__ = ["Ack", "Drop", "JobFailure", "Nack", "Outcome", "run_handler", "run_handler_async"]

# Read by pytest when this module is named as a plugin; nothing here imports pytest.
pytest_plugins = ["relay_worker.testing.plugin"]


def run_handler(jobs: Jobs, job_type: str, payload: Any = None, **fields: Any) -> Outcome:
    """Runs one handler on a payload with no broker, and says what would become of the job.

    payload  what a producer would enqueue: bytes as they are, a dataclass or anything JSON
    fields   as for run_handler_async

    Inside a running event loop use `await run_handler_async(...)`. KeyError when no handler has the type.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(run_handler_async(jobs, job_type, payload, **fields))
    raise RuntimeError("run_handler: an event loop is running; use: await run_handler_async(...)")


async def run_handler_async(
    jobs: Jobs,
    job_type: str,
    payload: Any = None,
    *,
    queue: str = "test",
    attempt: int = 1,
    max_attempts: int = 20,
    epoch: int = 1,
    job_id: str | None = None,
    idempotency_key: str = "",
    headers: Mapping[str, str] | None = None,
    content_type: str = "",
    max_runtime_s: float = 0.0,
    progress: list[tuple[float, str]] | None = None,
) -> Outcome:
    """The same, on the running loop. `progress` collects reports; CPU-bound handlers run in this process."""
    handler = jobs.find(job_type)
    if handler is None:
        raise KeyError(f"no handler for job type {job_type!r}; there are: {[one.type for one in jobs]}")
    data, media = _encode(payload)
    held = HeldJob(
        group=LeaseGroup(queue=queue, token=b"", jobs={}, extend_at=0, deadline=0),
        job_id=job_id or str(uuid.uuid4()),
        queue=queue,
        type=job_type,
        payload=data,
        content_type=content_type or media,
        attempt=attempt,
        max_attempts=max_attempts,
        epoch=epoch,
        idempotency_key=idempotency_key,
        headers=headers or {},
        max_runtime_s=max_runtime_s,
        received_at=time.monotonic(),
        deadline=0,
    )
    reported = progress if progress is not None else []
    context = Context(held, lambda fraction, note: reported.append((fraction, note)), held.cancelled)
    try:
        await _call(handler, held, context)
    except asyncio.CancelledError:
        raise  # the test's own
    except BaseException as error:  # noqa: BLE001 - whatever the handler raises is the outcome
        return outcome_of(error)
    return outcome_of(None)


async def _call(handler: Handler, held: HeldJob, context: Context) -> None:
    limits = [limit for limit in (handler.max_runtime_s, held.max_runtime_s) if limit]
    arguments = handler.arguments(held.payload, held.content_type, lambda: context)
    timeout = asyncio.timeout(min(limits, default=None))
    try:
        async with timeout:
            if handler.is_async:
                await handler.function(*arguments)
            else:
                await asyncio.to_thread(handler.function, *arguments)
    except TimeoutError as error:
        if timeout.expired():
            raise MaxRuntimeExceeded(f"{handler.type}: ran longer than its {min(limits):g} s") from None
        raise error from None


def _encode(payload: Any) -> tuple[bytes, str]:
    if isinstance(payload, bytes):
        return payload, "application/octet-stream"
    if dataclasses.is_dataclass(payload) and not isinstance(payload, type):
        payload = dataclasses.asdict(payload)
    return json.dumps(payload).encode(), ""
