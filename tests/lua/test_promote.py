"""promote: delayed -> ready, when due."""

from relay_server.words import DeadReason
from tests.support.engine import START_MS, Lab, a_job


async def test_i11_not_before_its_time_and_as_of_its_time(lab: Lab) -> None:
    early, late = await lab.enqueued(a_job(delay_ms=1000), a_job(delay_ms=2000, priority=1))
    lab.clock.advance(999)
    swept = await lab.transitions.promote(lab.queue)
    assert (swept.taken, swept.next_at_ms) == (0, START_MS + 1000)
    lab.clock.advance(1)
    async with lab.listening() as wakes:
        assert (await lab.transitions.promote(lab.queue)).taken == 1
        assert await wakes.so_far() == [b"ready"]
    assert await lab.ids("ready") == [early]
    lab.clock.advance(5000)
    swept = await lab.transitions.promote(lab.queue)
    assert (swept.taken, swept.buried, swept.more, swept.next_at_ms) == (1, 0, False, 0)
    # A promoter that came late costs a job nothing of its place.
    assert await lab.score("ready", early) == START_MS + 1000
    assert await lab.score("ready", late) == START_MS + 2000 - 3_600_000
    assert (await lab.counters())["promoted"] == 2


async def test_a_job_past_its_expiry_is_buried(lab: Lab) -> None:
    (job_id,) = await lab.enqueued(a_job(delay_ms=1000, expires_ms=START_MS + 1000))
    lab.clock.advance(1000)
    assert (await lab.transitions.promote(lab.queue)).buried == 1
    assert await lab.score("dead", job_id) == START_MS + 1000
    assert (await lab.record(job_id)).reason == DeadReason.EXPIRED


async def test_i9_a_step_is_bounded_and_says_that_there_is_more(lab: Lab) -> None:
    await lab.enqueued(*(a_job(delay_ms=i) for i in range(1, 26)))
    lab.clock.advance(100)
    steps = [await lab.transitions.promote(lab.queue, limit=10) for _ in range(4)]
    assert [(swept.taken, swept.more) for swept in steps] == [(10, True), (10, True), (5, False), (0, False)]
