"""history: totals minute by minute, for a day."""

import pytest

from tests.support.engine import Lab, a_job


@pytest.mark.covers("history", "WRITTEN", "PRESENT")
async def test_a_minute_is_written_once(lab: Lab) -> None:
    lease = await lab.in_flight()
    await lab.enqueued(a_job())
    assert await lab.ops.record_history([lab.queue], 100) == [True]
    await lab.ack(lease)
    before = await lab.dump()
    assert await lab.ops.record_history([lab.queue], 100) == [False]
    assert await lab.dump() == before
    assert await lab.ops.record_history([lab.queue], 101) == [True]
    rows = await lab.ops.history(lab.queue)
    assert [minute for minute, _ in rows] == [100, 101]
    assert rows[0][1] == {
        "enqueued": 2, "acked": 0, "retried": 0, "expired": 0, "dead": 0, "ready": 1, "inflight": 1,
    }  # fmt: skip
    assert (rows[1][1]["acked"], rows[1][1]["inflight"]) == (1, 0)


async def test_i13_a_day_is_kept(lab: Lab) -> None:
    await lab.enqueued(a_job())
    for minute in range(1000, 1000 + 1440 + 10):
        await lab.script("history", minute, 1440)
    rows = await lab.ops.history(lab.queue)
    assert [minute for minute, _ in rows] == list(range(1009, 2450)), (
        "and the row that the oldest minute counts from"
    )
    # A queue that was quiet for a week loses what is old with its next minute, which counts from the last one.
    await lab.script("history", 20_000, 1440)
    assert [minute for minute, _ in await lab.ops.history(lab.queue)] == [2449, 20_000]
