"""held: which leases are current."""

import pytest

from relay_server.model import Lease
from relay_server.words import LeaseWord
from tests.support.engine import Lab, a_job, new_id, new_token


@pytest.mark.covers("held", "OK", "CANCELLED", "LEASE_LOST", "GONE")
async def test_each_lease_has_its_word_and_nothing_changes(lab: Lab) -> None:
    held, cancelled, settled = [await lab.in_flight() for _ in range(3)]
    await lab.ops.cancel(lab.queue, [cancelled.id])
    await lab.nack(settled)
    before = await lab.dump()
    leases = [held, cancelled, settled, Lease(held.id, new_token()), Lease(new_id(), new_token())]
    now, words = await lab.transitions.held(lab.queue, leases)
    assert now == lab.clock.now_ms
    assert words == [
        LeaseWord.OK, LeaseWord.CANCELLED, LeaseWord.LEASE_LOST, LeaseWord.LEASE_LOST, LeaseWord.GONE,
    ]  # fmt: skip
    assert await lab.dump() == before
    await lab.enqueued(a_job())
    assert (await lab.transitions.held(lab.queue, leases * 120))[1] == words * 120
