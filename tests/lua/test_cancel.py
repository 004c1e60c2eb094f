"""cancel: a job will not run, or not again."""

import pytest

from relay_server.words import CancelWord, LeaseWord
from tests.support.engine import LEASE_MS, Lab, a_job, new_id


@pytest.mark.covers("cancel", "REMOVED", "FLAGGED", "DEAD", "GONE")
async def test_each_state_has_its_answer(lab: Lab) -> None:
    dead = await lab.dead()
    held = await lab.in_flight()
    ready, delayed = await lab.enqueued(a_job(), a_job(delay_ms=1000))
    async with lab.listening() as wakes:
        answers = await lab.ops.cancel(lab.queue, [ready, delayed, held.id, dead, new_id(), ready, held.id])
        assert await wakes.so_far() == [b"cancel " + held.id * 2]
    assert answers == [
        CancelWord.REMOVED, CancelWord.REMOVED, CancelWord.FLAGGED, CancelWord.DEAD, CancelWord.GONE,
        CancelWord.GONE, CancelWord.FLAGGED,
    ]  # fmt: skip
    assert [await lab.where(job_id) for job_id in (ready, delayed, held.id, dead)] == [
        "gone", "gone", "inflight", "dead",
    ]  # fmt: skip
    assert (await lab.counters())["cancelled"] == 2


async def test_i5_an_inflight_job_does_not_run_again(lab: Lab) -> None:
    acked, expired, handed_back = [await lab.in_flight() for _ in range(3)]
    await lab.ops.cancel(lab.queue, [acked.id, expired.id, handed_back.id])
    before = await lab.dump()
    assert await lab.ops.cancel(lab.queue, [acked.id]) == [CancelWord.FLAGGED]
    assert await lab.dump() == before
    assert await lab.ack(acked) == [LeaseWord.CANCELLED]
    await lab.transitions.hand_back(lab.queue, [handed_back])
    lab.clock.advance(LEASE_MS)
    await lab.transitions.reap(lab.queue)
    assert (await lab.counters())["cancelled"] == 3
    snapshot = await lab.ops.stats(lab.queue)
    assert (snapshot.ready, snapshot.delayed, snapshot.inflight, snapshot.dead) == (0, 0, 0, 0)


async def test_large_bodies_are_deleted_in_several_steps(lab: Lab) -> None:
    ids = [(await lab.enqueued(a_job(b"x" * (1 << 20))))[0] for _ in range(20)]
    assert await lab.ops.cancel(lab.queue, ids) == [CancelWord.REMOVED] * 20
    assert [len(reply) for reply in lab.heard["cancel"]] == [16, 4]
