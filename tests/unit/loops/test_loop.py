"""A loop goes on whatever its step does, at the pace the step asks for."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from structlog.testing import capture_logs

from relay_server import errors
from relay_server.loops import loop as loop_module
from relay_server.loops.loop import Loop, every


class Runs:
    """The loop's metrics: counts runs and failures, and notes what was moved."""

    def __init__(self) -> None:
        self.runs = self.failures = 0
        self.moved: list[Mapping[str, int]] = []

    def loop_ran(self, loop: str, *, failed: bool) -> None:
        assert loop == "tested"
        self.runs += 1
        self.failures += failed

    def loop_moved(self, loop: str, jobs: Mapping[str, int]) -> None:
        assert loop == "tested"
        self.moved.append(jobs)


@asynccontextmanager
async def running(loop: Loop[Any]) -> AsyncIterator[None]:
    task = asyncio.create_task(loop.run())
    try:
        yield
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


def counting(until: int) -> tuple[Callable[[], Awaitable[int]], asyncio.Event]:
    done, count = asyncio.Event(), 0

    async def step() -> int:
        nonlocal count
        count += 1
        if count >= until:
            done.set()
        return count

    return step, done


async def test_the_result_sets_the_pause() -> None:
    step, done = counting(3)
    asked: list[int] = []

    def pause(result: int) -> float:
        asked.append(result)
        return 0

    async with running(Loop("tested", step, pause_s=pause, metrics=Runs())):
        await asyncio.wait_for(done.wait(), 5)
    assert asked[:2] == [1, 2]


async def test_a_round_tells_how_many_jobs_it_moved_unless_it_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_module, "_BACKOFF_MAX_S", 0.0)
    counted, done = counting(4)

    async def step() -> int:
        count = await counted()
        if count == 2:
            raise errors.StoreUnavailable
        return count

    runs = Runs()
    loop = Loop("tested", step, pause_s=lambda _: 0, metrics=runs, jobs=lambda count: {"moved": count})
    async with running(loop):
        await asyncio.wait_for(done.wait(), 5)
    assert runs.moved[:2] == [{"moved": 1}, {"moved": 3}]


async def test_failures_are_counted_said_rarely_and_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_module, "_BACKOFF_MAX_S", 0.0)
    done, count = asyncio.Event(), 0

    async def step() -> None:
        nonlocal count
        count += 1
        if count <= 45:
            raise errors.StoreUnavailable
        done.set()

    runs = Runs()
    with capture_logs() as logs:
        async with running(Loop("tested", step, pause_s=every(3600), metrics=runs)):
            await asyncio.wait_for(done.wait(), 5)
            while runs.runs < 46:  # noqa: ASYNC110 - the count follows the step at once
                await asyncio.sleep(0)
    assert (runs.runs, runs.failures) == (46, 45)
    said = [(line["event"], line.get("failures")) for line in logs]
    assert said == [("loop_failed", 1), ("loop_failed", 21), ("loop_failed", 41), ("loop_recovered", 45)]


async def test_a_defect_is_logged_with_its_place_and_does_not_end_the_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loop_module, "_BACKOFF_MAX_S", 0.0)
    done, count = asyncio.Event(), 0

    async def step() -> None:
        nonlocal count
        count += 1
        if count == 1:
            raise KeyError("x")
        done.set()

    with capture_logs() as logs:
        async with running(Loop("tested", step, pause_s=every(3600), metrics=Runs())):
            await asyncio.wait_for(done.wait(), 5)
    assert logs[0]["exc_info"].args == ("x",)


async def test_a_cancellation_that_the_step_loses_ends_the_loop() -> None:
    entered = asyncio.Event()

    async def step() -> None:
        entered.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return

    async with running(Loop("tested", step, pause_s=lambda _: 3600, metrics=Runs())):
        await asyncio.wait_for(entered.wait(), 5)


def test_every_is_jittered() -> None:
    pauses = {every(10)(None) for _ in range(50)}
    assert len(pauses) > 1
    assert all(9 <= pause <= 11 for pause in pauses)
