"""scan: a filter over records, a bounded stretch at a time, from a place that nothing can move."""

import time
from collections.abc import Sequence

import pytest

from relay.v1 import job_pb2
from relay_server.model import EVERY, Cursor, Want
from relay_server.rpc.parse_job import enqueue_stamp
from relay_server.words import State
from tests.support.engine import Lab, a_job, new_id


async def _scanned(lab: Lab, state: State, want: Want, *, examine: int = 7) -> list[bytes]:
    ids: list[bytes] = []
    cursor: Cursor | None = None
    while True:
        found = await lab.ops.scan(lab.queue, state, cursor=cursor, examine=examine, want=want)
        assert found.examined <= examine
        ids += found.ids
        cursor = found.cursor
        if cursor is None:
            return ids


@pytest.mark.parametrize("examine", [1, 3, 10, 500])
async def test_each_job_is_met_once_though_all_share_a_score(lab: Lab, examine: int) -> None:
    ids = await lab.enqueued(*(a_job(job_type="bad" if i % 3 else "good") for i in range(30)))
    assert await _scanned(lab, State.READY, EVERY, examine=examine) == ids
    bad = [job_id for i, job_id in enumerate(ids) if i % 3]
    assert await _scanned(lab, State.READY, Want(type="bad"), examine=examine) == bad
    assert await _scanned(lab, State.READY, Want(type="other"), examine=examine) == []


async def test_a_place_survives_the_jobs_around_it(lab: Lab) -> None:
    """Those before it leave, the one that it names as well, and new ones come before and behind."""
    ids = sorted(new_id() for _ in range(40))
    await lab.enqueued(*(a_job(job_id=job_id) for job_id in ids[::2]))
    found = await lab.ops.scan(lab.queue, State.READY, cursor=None, examine=10, want=EVERY)
    assert found.ids == ids[:20:2]
    await lab.ops.cancel(lab.queue, [*ids[:6:2], ids[18]])
    await lab.enqueued(*(a_job(job_id=job_id) for job_id in ids[1::2]))
    rest = await lab.ops.scan(lab.queue, State.READY, cursor=found.cursor, examine=500, want=EVERY)
    assert rest.ids == ids[19:]
    assert rest.cursor is None


@pytest.mark.parametrize("jobs", [100, 3000])
async def test_a_step_costs_the_same_anywhere_in_a_million_of_one_score(lab: Lab, jobs: int) -> None:
    """Commands and not time: a search of the place, then one page."""
    key = lab.key("ready")
    ids = sorted(new_id() for _ in range(jobs))
    await lab.command("ZADD", key, *(part for job_id in ids for part in (b"5", job_id)))
    try:
        await lab.command("CONFIG", "RESETSTAT")
        found = await lab.ops.scan(
            lab.queue, State.READY, cursor=Cursor("5", ids[jobs * 9 // 10 - 1]), examine=10, want=EVERY
        )
        assert found.cursor == Cursor("5", ids[jobs * 9 // 10 + 9] if jobs > 100 else b"") or jobs == 100
        calls = await lab.calls()
        assert 0 < calls["zrange"] <= 14
        assert "zrangebyscore" not in calls
    finally:
        await lab.command("DEL", key)


async def test_dead_letters_newest_first_within_times_and_by_error(lab: Lab) -> None:
    ids: list[bytes] = []
    times: list[int] = []
    for error_type in ("A", "B", "A", "A"):
        ids.append(await lab.dead(error_type=error_type))
        times.append(lab.clock.now_ms)
        lab.clock.advance(10)
    assert await _scanned(lab, State.DEAD, EVERY, examine=1) == ids[::-1]
    assert await _scanned(lab, State.DEAD, Want(error_type="A")) == [ids[3], ids[2], ids[0]]
    some = Want(oldest_at_ms=times[1], newest_at_ms=times[2])
    for examine in (1, 2, 500):
        assert await _scanned(lab, State.DEAD, some, examine=examine) == [ids[2], ids[1]]


def _stamps() -> Sequence[bytes]:
    """As a server writes them: with and without nanoseconds, behind any spec."""
    whole = job_pb2.Job()
    whole.enqueue_time.seconds = int(time.time())
    spec = job_pb2.JobSpec(type="t", payload=b"\x82\x01\x06\x08" * 9).SerializeToString()
    tiny = job_pb2.Job()
    tiny.enqueue_time.seconds, tiny.enqueue_time.nanos = int(time.time()), 1
    return [
        enqueue_stamp(),
        spec + enqueue_stamp(),
        whole.SerializeToString(),
        spec + tiny.SerializeToString(),
    ]


async def test_what_was_taken_later_or_cancelled_before_is_left_out(lab: Lab) -> None:
    ids = await lab.enqueued(*(a_job(body) for body in _stamps()), a_job(b"tells nothing"))
    held = (await lab.claim()).lease
    await lab.ops.cancel(lab.queue, [held.id])
    now = int(time.time() * 1000)
    waiting = ids[1:]
    assert await _scanned(lab, State.READY, Want(stamp_max_ms=now)) == waiting
    assert await _scanned(lab, State.READY, Want(stamp_max_ms=now - 60_000)) == waiting[-1:]
    assert await _scanned(lab, State.INFLIGHT, Want(stamp_max_ms=now)) == []
    assert await _scanned(lab, State.INFLIGHT, EVERY) == [held.id]


async def test_bodies_that_are_looked_at_are_bounded_in_bytes(lab: Lab) -> None:
    await lab.enqueued(*(a_job(b"x" * 400_000) for _ in range(5)))
    want = Want(stamp_max_ms=1 << 50)
    found = await lab.ops.scan(lab.queue, State.READY, cursor=None, examine=500, want=want)
    assert (found.examined, len(found.ids)) == (2, 2)
    assert len(await _scanned(lab, State.READY, want, examine=500)) == 5


@pytest.mark.damages
async def test_an_unreadable_record_stops_no_walk(lab: Lab) -> None:
    ids = await lab.enqueued(*(a_job(job_type="bad") for _ in range(5)))
    await lab.command("HSET", lab.key("state"), ids[1], b"short")
    await lab.command("HDEL", lab.key("state"), ids[3])
    assert await _scanned(lab, State.READY, Want(type="bad")) == [ids[0], ids[2], ids[4]]
