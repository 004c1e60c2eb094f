"""ack: inflight -> (gone)."""

import pytest

from relay_server.model import Acked, Lease
from relay_server.words import LeaseWord
from tests.support.engine import LEASE_MS, Lab, a_job, new_id, new_token


@pytest.mark.covers("ack", "OK")
async def test_the_current_lease_finishes_its_job(lab: Lab) -> None:
    lease = await lab.in_flight(a_job(b"body"))
    lab.clock.advance(1234)
    assert await lab.transitions.ack(lab.queue, [lease]) == [Acked(LeaseWord.OK, 1234)]
    assert await lab.where(lease.id) == "gone"
    assert (await lab.counters())["acked"] == 1
    assert not {"body", "state", "inflight"} & set(await lab.dump())


@pytest.mark.covers("ack", "GONE")
async def test_i10_an_ack_repeated_finds_nothing_and_changes_nothing(lab: Lab) -> None:
    lease = await lab.in_flight()
    await lab.transitions.ack(lab.queue, [lease])
    before = await lab.dump()
    assert await lab.transitions.ack(lab.queue, [lease]) == [Acked(LeaseWord.GONE, -1)]
    assert await lab.transitions.ack(lab.queue, [Lease(new_id(), new_token())]) == [Acked(LeaseWord.GONE, -1)]
    assert await lab.dump() == before


@pytest.mark.covers("ack", "LEASE_LOST")
async def test_i6_a_token_that_is_not_current_finishes_nothing(lab: Lab) -> None:
    stale = await lab.in_flight()
    assert await lab.transitions.ack(lab.queue, [Lease(stale.id, new_token())]) == [
        Acked(LeaseWord.LEASE_LOST, -1)
    ]
    lab.clock.advance(LEASE_MS)
    await lab.transitions.reap(lab.queue)
    lab.clock.advance(2 * LEASE_MS)
    current = (await lab.claim()).lease
    assert current.id == stale.id
    assert await lab.transitions.ack(lab.queue, [stale]) == [Acked(LeaseWord.LEASE_LOST, -1)]
    assert (await lab.counters())["stale"] == 2
    assert (await lab.transitions.ack(lab.queue, [current]))[0].word == LeaseWord.OK


@pytest.mark.covers("ack", "CANCELLED")
async def test_an_ack_of_a_cancelled_job_says_so_and_removes_it(lab: Lab) -> None:
    lease = await lab.in_flight()
    await lab.ops.cancel(lab.queue, [lease.id])
    assert await lab.transitions.ack(lab.queue, [lease]) == [Acked(LeaseWord.CANCELLED, 0)]
    assert await lab.where(lease.id) == "gone"
    counters = await lab.counters()
    assert counters["cancelled"] == 1
    assert "acked" not in counters
