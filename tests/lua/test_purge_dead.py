"""purge_dead: dead -> (gone)."""

from tests.support.engine import Lab, a_job, new_id


async def test_i9_what_died_by_the_cut_off_is_deleted_once(lab: Lab) -> None:
    old = await lab.dead()
    cutoff = lab.clock.now_ms
    lab.clock.advance(1)
    young = await lab.dead()
    (ready,) = await lab.enqueued(a_job())
    ids = [old, old, young, ready, new_id()]
    assert await lab.ops.purge_dead(lab.queue, ids, died_until_ms=cutoff) == 1
    assert await lab.ops.purge_dead(lab.queue, ids, died_until_ms=cutoff) == 0
    assert [await lab.where(job_id) for job_id in (old, young, ready)] == ["gone", "dead", "ready"]
    assert (await lab.counters())["purged"] == 1
    assert set((await lab.dump())["error"]) == {young}


async def test_large_bodies_are_deleted_in_several_steps(lab: Lab) -> None:
    ids = [await lab.dead(a_job(b"x" * (1 << 20))) for _ in range(20)]
    assert await lab.ops.purge_dead(lab.queue, [*ids, ids[0]], died_until_ms=1 << 52) == 20
    assert lab.heard["purge_dead"] == [[b"16", b"16"], [b"4", b"5"]]
