"""The handlers of the demo, so that a worker can be tried without writing code: `relay-worker relay_worker.demo:jobs`.

type         payload (JSON, all optional)       what it does
demo.ok      {"ms": 5}                          waits so many milliseconds (0 to 60 000), then is done
demo.slow    {"seconds": 10}                    runs so long (0 to 3600), reporting progress ten times
demo.flaky   {"fail_attempts": 1}               fails on that many attempts, then is done
demo.fail    {"reason": "always fails"}         fails on every attempt, so that it ends as a dead letter
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from relay_worker.context import Context
from relay_worker.registry import Jobs

jobs = Jobs()


class DemoFailure(Exception):
    """What failing demo jobs fail with."""


@dataclass(frozen=True, slots=True)
class Ok:
    """How long the pretended work takes, in milliseconds."""

    ms: float = 5


@dataclass(frozen=True, slots=True)
class Slow:
    """How long the pretended work takes, in seconds."""

    seconds: float = 10


@dataclass(frozen=True, slots=True)
class Flaky:
    """How many attempts fail."""

    fail_attempts: int = 1


@dataclass(frozen=True, slots=True)
class Fail:
    """What the error says."""

    reason: str = "always fails"


@jobs.handler("demo.ok")
async def ok(payload: Ok | None) -> None:
    """Waits a moment."""
    await asyncio.sleep(min(max((payload or Ok()).ms, 0), 60_000) / 1000)


@jobs.handler("demo.slow", max_runtime="1h")
async def slow(payload: Slow | None, ctx: Context) -> None:
    """Works in ten steps and says so."""
    total_s = min(max((payload or Slow()).seconds, 0), 3600)
    for step in range(1, 11):
        await asyncio.sleep(total_s / 10)
        ctx.progress(step / 10, f"step {step} of 10")


@jobs.handler("demo.flaky")
async def flaky(payload: Flaky | None, ctx: Context) -> None:
    """Fails at first."""
    if ctx.attempt <= (payload or Flaky()).fail_attempts:
        raise DemoFailure(f"attempt {ctx.attempt} fails, as asked")


@jobs.handler("demo.fail")
async def fail(payload: Fail | None) -> None:
    """Fails always."""
    raise DemoFailure((payload or Fail()).reason)
