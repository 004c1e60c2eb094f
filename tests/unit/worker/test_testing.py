"""Handlers can be run with no broker, and the demo's handlers do what their page says."""

import asyncio
import time

import pytest

from relay.v1.queue_service_pb2 import NACK_KIND_DEAD, NACK_KIND_RETRY
from relay_worker import Context, Jobs
from relay_worker.demo import Flaky
from relay_worker.demo import jobs as demo
from relay_worker.outcome import ACK, Nack
from relay_worker.testing import run_handler, run_handler_async


def kind_of(outcome: object) -> int:
    assert isinstance(outcome, Nack)
    return outcome.kind


def test_demo_handlers() -> None:
    assert run_handler(demo, "demo.ok", {"ms": 1}) is ACK
    assert run_handler(demo, "demo.ok") is ACK
    assert kind_of(run_handler(demo, "demo.flaky", Flaky(fail_attempts=2), attempt=2)) == NACK_KIND_RETRY
    assert run_handler(demo, "demo.flaky", {"fail_attempts": 2}, attempt=3) is ACK
    assert kind_of(run_handler(demo, "demo.fail", {})) == NACK_KIND_RETRY
    assert kind_of(run_handler(demo, "demo.fail", {"reason": 3})) == NACK_KIND_DEAD
    reports: list[tuple[float, str]] = []
    assert run_handler(demo, "demo.slow", {"seconds": 0}, progress=reports) is ACK
    assert reports[-1] == (1.0, "step 10 of 10")


def test_the_context_is_the_fields_given() -> None:
    jobs = Jobs()
    seen: list[object] = []

    @jobs.handler("see")
    def see(payload: bytes, ctx: Context) -> None:
        seen.extend(
            [payload, ctx.queue, ctx.type, ctx.attempt, ctx.epoch, ctx.idempotency_key, dict(ctx.headers)]
        )
        with pytest.raises(ValueError, match="between 0 and 1"):
            ctx.progress(2)

    assert (
        run_handler(jobs, "see", b"x", queue="a", attempt=4, epoch=9, idempotency_key="k", headers={"h": "v"})
        is ACK
    )
    assert seen == [b"x", "a", "see", 4, 9, "k", {"h": "v"}]


def test_limits_and_unknown_types() -> None:
    jobs = Jobs()

    @jobs.handler("sleep", max_runtime="20ms")
    async def sleep() -> None:
        await asyncio.sleep(30)

    began = time.monotonic()
    outcome = run_handler(jobs, "sleep")
    assert isinstance(outcome, Nack)
    assert outcome.error is not None
    assert outcome.error.type == "MaxRuntimeExceeded"
    assert time.monotonic() - began < 10
    with pytest.raises(KeyError, match="no handler"):
        run_handler(jobs, "other")


async def test_inside_a_loop() -> None:
    assert await run_handler_async(demo, "demo.ok", {"ms": 0}) is ACK
    with pytest.raises(RuntimeError, match="run_handler_async"):
        run_handler(demo, "demo.ok")
