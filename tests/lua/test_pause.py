"""pause: no more claims; what is in flight goes on, and new jobs are taken."""

import pytest

from relay_server.words import LeaseWord
from tests.support.engine import LEASE_MS, Lab, a_job


@pytest.mark.covers("pause", "OK")
async def test_a_pause_stops_claims_alone(lab: Lab) -> None:
    held = await lab.in_flight()
    await lab.ops.pause(lab.queue)
    await lab.ops.pause(lab.queue)
    assert (await lab.ops.stats(lab.queue)).paused
    await lab.enqueued(a_job())
    assert (await lab.claim()).answer.status == "PAUSED"
    assert await lab.ack(held) == [LeaseWord.OK]


async def test_leases_of_a_paused_queue_still_run_out(lab: Lab) -> None:
    await lab.in_flight()
    await lab.ops.pause(lab.queue)
    lab.clock.advance(LEASE_MS)
    assert (await lab.transitions.reap(lab.queue)).taken == 1
