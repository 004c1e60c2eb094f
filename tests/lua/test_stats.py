"""stats: a queue at one moment."""

from tests.support.engine import START_MS, Lab, a_job


async def test_sizes_age_and_totals(lab: Lab) -> None:
    empty = await lab.ops.stats(lab.queue)
    assert (empty.ready, empty.oldest_ready_ms, empty.counters, empty.paused) == (0, 0, {}, False)
    await lab.dead()
    await lab.in_flight()
    await lab.enqueued(a_job(priority=5), a_job(), a_job(delay_ms=9))
    lab.clock.advance(1234)
    before = await lab.dump()
    seen = await lab.ops.stats(lab.queue)
    assert (seen.ready, seen.delayed, seen.inflight, seen.dead) == (2, 1, 1, 1)
    # Priority moves a job's place, not its age.
    assert (seen.oldest_ready_ms, seen.now_ms) == (1234, START_MS + 1234)
    assert (seen.counters["enqueued"], seen.counters["claimed"], seen.counters["dead"]) == (5, 2, 1)
    assert await lab.dump() == before


async def test_large_settings_are_exact(lab: Lab) -> None:
    await lab.ops.configure(lab.queue, {"rate": 0.1, "max_jobs": 1_000_000_000})
    settings = (await lab.ops.stats(lab.queue)).settings
    assert (settings.rate, settings.max_jobs) == (0.1, 1_000_000_000)
