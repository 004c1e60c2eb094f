"""configure: settings of a queue."""

from dataclasses import replace
from typing import Any

import pytest

from relay_server import limits
from relay_server.model import Settings
from tests.support.engine import Lab, a_job

DEFAULTS = Settings(rate=0, burst=0, priority_step_ms=3_600_000, max_jobs=0, max_expirations=3)
# What an operator may set, by the name of the stored field.
BOUNDS = {
    "rate": (0, limits.RATE_MAX),
    "burst": (0, limits.BURST_MAX),
    "priority_step": (0, limits.PRIORITY_STEP_MS_MAX),
    "max_jobs": (0, limits.MAX_JOBS_MAX),
    "max_expirations": (1, limits.MAX_EXPIRATIONS_MAX),
}


@pytest.mark.covers("configure", "OK")
async def test_settings_have_defaults_and_change_one_by_one(lab: Lab) -> None:
    assert (await lab.ops.stats(lab.queue)).settings == DEFAULTS
    await lab.ops.configure(lab.queue, {"rate": 12.5, "burst": 30})
    await lab.ops.configure(lab.queue, {"priority_step": 60_000, "max_jobs": 7, "max_expirations": 2})
    assert (await lab.ops.stats(lab.queue)).settings == Settings(
        rate=12.5, burst=30, priority_step_ms=60_000, max_jobs=7, max_expirations=2
    )


@pytest.mark.parametrize("name", BOUNDS)
async def test_a_stored_setting_is_in_force_within_the_bounds_of_the_contract(lab: Lab, name: str) -> None:
    low, high = BOUNDS[name]
    field = "priority_step_ms" if name == "priority_step" else name
    for value in (low, high):
        await lab.command("HSET", lab.key("conf"), name, value)
        settings = (await lab.ops.stats(lab.queue)).settings
        changed: Any = {field: value}
        assert settings == replace(DEFAULTS, **changed)
    for value in (low - 1, high + 1):
        await lab.command("HSET", lab.key("conf"), name, value)
        assert (await lab.ops.stats(lab.queue)).settings == DEFAULTS


async def test_a_raised_rate_wakes_a_sleeper_and_starts_with_a_full_bucket(lab: Lab) -> None:
    await lab.ops.configure(lab.queue, {"rate": 0.001, "burst": 1})
    await lab.enqueued(*(a_job() for _ in range(20)))
    await lab.claim(20)
    assert (await lab.claim(20)).answer.status == "LIMITED"
    async with lab.listening() as wakes:
        await lab.ops.configure(lab.queue, {"rate": 10.0, "burst": 5})
        assert await wakes.so_far() == [b"ready"]
        await lab.ops.configure(lab.queue, {"max_jobs": 100})
        assert await wakes.so_far() == []
    assert len((await lab.claim(20)).jobs) == 5
    await lab.ops.configure(lab.queue, {"rate": 0})
    assert len((await lab.claim(20)).jobs) == 14


async def test_a_changed_step_counts_for_newly_ready_jobs_only(lab: Lab) -> None:
    (old,) = await lab.enqueued(a_job(priority=1))
    await lab.ops.configure(lab.queue, {"priority_step": 1000})
    (new,) = await lab.enqueued(a_job(priority=1))
    assert await lab.score("ready", old) == lab.clock.now_ms - 3_600_000
    assert await lab.score("ready", new) == lab.clock.now_ms - 1000
