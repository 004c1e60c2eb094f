"""hand_back: what a server claimed and could not deliver goes back to its old place at once."""

from relay_server.model import Lease
from relay_server.words import LeaseWord
from tests.support.engine import Lab, a_job, new_id, new_token


async def test_i15_a_job_handed_back_is_where_it_was_with_its_attempt_returned(lab: Lab) -> None:
    ids = await lab.enqueued(*(a_job() for _ in range(3)))
    before = await lab.dump()
    lab.clock.advance(5000)
    taken = await lab.claim(2)
    async with lab.listening() as wakes:
        assert await lab.transitions.hand_back(lab.queue, taken.leases) == 2
        assert await wakes.so_far() == [b"ready"]
    assert (await lab.dump())["ready"] == before["ready"]
    assert [(await lab.record(job_id)).attempt for job_id in ids] == [0, 0, 0]
    again = await lab.claim(3)
    assert again.ids == ids
    assert all(new.epoch > old.epoch for new, old in zip(again.jobs, taken.jobs, strict=False))
    assert (await lab.counters())["handed_back"] == 2


async def test_i6_only_a_current_lease_is_handed_back_and_only_once(lab: Lab) -> None:
    lease = await lab.in_flight()
    before = await lab.dump()
    stale = [Lease(lease.id, new_token()), Lease(new_id(), new_token())]
    assert await lab.transitions.hand_back(lab.queue, stale) == 0
    assert await lab.dump() == before
    assert await lab.transitions.hand_back(lab.queue, [lease, lease]) == 1
    assert await lab.transitions.hand_back(lab.queue, [lease]) == 0
    assert await lab.ack(lease) == [LeaseWord.LEASE_LOST]


async def test_i5_a_cancelled_job_is_gone_instead(lab: Lab) -> None:
    lease = await lab.in_flight()
    await lab.ops.cancel(lab.queue, [lease.id])
    assert await lab.transitions.hand_back(lab.queue, [lease]) == 1
    assert await lab.where(lease.id) == "gone"


async def test_more_than_a_batch_is_handed_back_in_steps(lab: Lab) -> None:
    for _ in range(3):
        await lab.enqueued(*(a_job() for _ in range(400)))
    leases = [lease for _ in range(3) for lease in (await lab.claim(400)).leases]
    assert await lab.transitions.hand_back(lab.queue, leases) == 1200
    assert len(lab.heard["hand_back"]) == 3
