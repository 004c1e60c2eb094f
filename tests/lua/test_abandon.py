"""abandon: the jobs of a worker whose stream ended, unless it still heartbeats."""

from relay_server.model import Extension, Lease
from relay_server.words import LeaseWord
from tests.support.engine import Lab, a_job, new_token


async def test_i15_leases_not_extended_since_are_ended_and_extended_ones_untouched(lab: Lab) -> None:
    silent, alive, acked = [await lab.in_flight(a_job(initial_backoff_ms=1)) for _ in range(3)]
    lab.clock.advance(1000)
    ended_at = lab.clock.now_ms
    lab.clock.advance(1)
    await lab.transitions.extend(lab.queue, [Extension(*alive)])
    await lab.ack(acked)
    before = await lab.dump()
    leases = [silent, alive, acked, silent, Lease(alive.id, new_token())]
    assert await lab.transitions.abandon(lab.queue, leases, since_ms=ended_at) == 1
    after = await lab.dump()
    assert after["inflight"] == [entry for entry in before["inflight"] if entry[0] == alive.id]
    assert after["state"][alive.id] == before["state"][alive.id]
    record = await lab.record(silent.id)
    assert (record.expirations, record.attempt, record.token) == (1, 1, b"")
    assert await lab.ack(silent) == [LeaseWord.LEASE_LOST]
    assert await lab.ack(alive) == [LeaseWord.OK]


async def test_i7_it_counts_towards_poison(lab: Lab) -> None:
    await lab.ops.configure(lab.queue, {"max_expirations": 1})
    lease = await lab.in_flight()
    assert await lab.transitions.abandon(lab.queue, [lease], since_ms=lab.clock.now_ms) == 1
    assert await lab.where(lease.id) == "dead"
    assert await lab.transitions.abandon(lab.queue, [], since_ms=lab.clock.now_ms) == 0
