"""Chaos in short: fixed seeds, so that each run of the suite meets the same faults."""

import pytest

from tests.chaos.runs import chaos


@pytest.mark.parametrize(("seed", "redis"), [(7, "external"), (8, "embedded")])
async def test_promises_hold_under_random_faults(seed: int, redis: str) -> None:
    report = await chaos(seed, 7.0, redis=redis, every=(0.3, 0.9))
    print(report)
    assert report.ok, str(report)
    assert report.settled.stats.counters["acked"] >= report.verdict.counts["enqueued"] > 100
