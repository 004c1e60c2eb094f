"""purge: ready | delayed -> (gone)."""

from relay_server.words import LeaseWord
from tests.support.engine import Lab, a_job


async def test_i9_it_takes_up_to_a_limit_from_the_head(lab: Lab) -> None:
    held = await lab.in_flight()
    dead = await lab.dead()
    ids = await lab.enqueued(*(a_job() for _ in range(4)), a_job(delay_ms=9), a_job(delay_ms=8))
    assert await lab.ops.purge(lab.queue, limit=3) == 3
    assert await lab.ids("ready") == [ids[3]]
    assert await lab.ops.purge(lab.queue, limit=2) == 2
    assert (await lab.ids("ready"), await lab.ids("delayed")) == ([], [ids[4]])
    assert await lab.ops.purge(lab.queue, limit=10_000) == 1
    assert await lab.ops.purge(lab.queue, limit=10_000) == 0
    assert (await lab.counters())["purged"] == 6
    assert await lab.where(dead) == "dead"
    assert await lab.ack(held) == [LeaseWord.OK]


async def test_one_step_takes_500_at_most(lab: Lab) -> None:
    await lab.enqueue(*(a_job() for _ in range(501)))
    assert await lab.ops.purge(lab.queue, limit=10_000) == 500


async def test_i13_errors_of_a_purged_job_go_with_it(lab: Lab) -> None:
    lease = await lab.in_flight()
    await lab.nack(lease, after_ms=0, error=b"e")
    await lab.ops.purge(lab.queue, limit=1)
    assert not {"body", "state", "error", "ready"} & set(await lab.dump())


async def test_large_bodies_are_deleted_in_several_steps(lab: Lab) -> None:
    for _ in range(20):
        await lab.enqueued(a_job(b"x" * (1 << 20)))
    assert [await lab.ops.purge(lab.queue, limit=500) for _ in range(3)] == [16, 4, 0]
