"""extend: inflight -> inflight, later."""

import pytest

from relay_server.model import Extended, Extension, Lease
from relay_server.words import LeaseWord
from tests.support.engine import LEASE_MS, START_MS, Lab, a_job, new_id, new_token


async def _extend(lab: Lab, lease: Lease, *, lease_ms: int = 0) -> Extended:
    (answer,) = await lab.transitions.extend(lab.queue, [Extension(*lease)], lease_ms=lease_ms)
    return answer


@pytest.mark.covers("extend", "OK")
async def test_a_heartbeat_moves_the_deadline_by_the_lease(lab: Lab) -> None:
    lease = await lab.in_flight()
    lab.clock.advance(1000)
    assert await _extend(lab, lease) == Extended(LeaseWord.OK, LEASE_MS)
    assert await lab.score("inflight", lease.id) == START_MS + 1000 + LEASE_MS
    assert (await lab.record(lease.id)).extended_ms == START_MS + 1000
    assert await _extend(lab, lease, lease_ms=60_000) == Extended(LeaseWord.OK, 60_000)
    lab.clock.advance(1)
    assert await _extend(lab, lease) == Extended(LeaseWord.OK, 60_000)


async def test_a_heartbeat_never_shortens_a_lease(lab: Lab) -> None:
    lease = await lab.in_flight()
    assert await _extend(lab, lease, lease_ms=1000) == Extended(LeaseWord.OK, LEASE_MS)


async def test_progress_is_kept_until_there_is_news(lab: Lab) -> None:
    lease = await lab.in_flight()
    await lab.transitions.extend(lab.queue, [Extension(*lease, 0.5, "half way")])
    await lab.transitions.extend(lab.queue, [Extension(*lease)])
    record = await lab.record(lease.id)
    assert (record.progress, record.note) == (0.5, "half way")
    await lab.nack(lease, after_ms=0)
    record = await lab.record((await lab.claim()).lease.id)
    assert (record.progress, record.note) == (0, "")


async def test_max_runtime_caps_every_extension(lab: Lab) -> None:
    """A hung handler whose heartbeat lives on loses its lease 10 s after max_runtime."""
    lease = await lab.in_flight(a_job(max_runtime_ms=60_000), lease_ms=30_000)
    end = START_MS + 60_000 + 10_000
    while lab.clock.now_ms < end - 10_000:
        answer = await _extend(lab, lease)
        assert answer.left_ms == min(30_000, end - lab.clock.now_ms)
        lab.clock.advance(10_000)
    assert (await _extend(lab, lease, lease_ms=3_600_000)).left_ms == 10_000
    lab.clock.advance(10_000)
    assert (await lab.transitions.reap(lab.queue)).taken == 1
    assert (await _extend(lab, lease)).word == LeaseWord.LEASE_LOST


async def test_i4_a_heartbeat_in_time_keeps_the_lease(lab: Lab) -> None:
    lease = await lab.in_flight()
    for _ in range(5):
        lab.clock.advance(LEASE_MS - 1)
        assert (await lab.transitions.reap(lab.queue)).taken == 0
        assert (await _extend(lab, lease)).word == LeaseWord.OK
    assert await lab.ack(lease) == [LeaseWord.OK]


@pytest.mark.covers("extend", "LEASE_LOST", "GONE")
async def test_i6_a_stale_token_extends_nothing(lab: Lab) -> None:
    lease = await lab.in_flight()
    before = await lab.dump()
    assert await _extend(lab, Lease(lease.id, new_token())) == Extended(LeaseWord.LEASE_LOST, 0)
    assert await _extend(lab, Lease(new_id(), new_token())) == Extended(LeaseWord.GONE, 0)
    after = await lab.dump()
    assert after["count"].pop(b"stale") == b"1"
    assert after == before
    await lab.nack(lease, after_ms=0)
    assert await _extend(lab, lease) == Extended(LeaseWord.LEASE_LOST, 0)


@pytest.mark.covers("extend", "CANCELLED")
async def test_a_heartbeat_hears_of_a_cancellation_and_still_holds(lab: Lab) -> None:
    lease = await lab.in_flight()
    await lab.ops.cancel(lab.queue, [lease.id])
    assert await _extend(lab, lease) == Extended(LeaseWord.CANCELLED, LEASE_MS)
    assert await lab.ack(lease) == [LeaseWord.CANCELLED]
