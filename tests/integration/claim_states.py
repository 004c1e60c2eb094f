"""Streams in the states that the tests of Claim want, and what then became of the jobs."""

import asyncio

from relay_server.claims.session import Session
from tests.support.relay import (
    KEEP_ALIVE_S,
    Claimer,
    Relay,
    eventually,
    lease_groups,
    spec,
)

BIG = b"x" * 200_000


async def returned(relay: Relay, queue: str, ready: int, inflight: int = 0) -> bool:
    stats = await relay.stats(queue)
    return (stats.ready, stats.inflight) == (ready, inflight)


def session_of(relay: Relay, worker: Claimer) -> Session:
    session = relay.app.sessions.find(worker.started.session_id, "anyone")
    assert session is not None
    return session


async def stalled(relay: Relay, queue: str, *, jobs: int, lease: float | None = None) -> Claimer:
    """A client that stopped reading: of its jobs (a multiple of 14) most are claimed and wait in the server."""
    for _ in range(jobs // 14):
        await relay.enqueue(queue, *(spec(BIG) for _ in range(14)))
    worker = await relay.claimer(queue, max_in_flight=jobs, lease=lease, reading=False)

    async def claimed() -> bool:
        stats = await relay.stats(queue)
        return stats.inflight == jobs

    session = session_of(relay, worker)
    sent = -1

    async def stuck() -> bool:
        """Two keep-alive intervals in which nothing was written."""
        nonlocal sent
        before, sent = sent, session.sent
        await asyncio.sleep(2 * KEEP_ALIVE_S)
        return sent == before and await claimed()

    await eventually(stuck)
    assert 0 < sent < jobs - 10
    worker.received = sent  # what left the server or began to, and lies unread somewhere on the way
    return worker


async def reconnect(
    worker: Claimer, to: Relay, *, queues: dict[str, int] | None = None, max_in_flight: int | None = None
) -> Claimer:
    """Opens a stream for the same session as a worker does: with its id, its count and its leases."""
    return await to.claimer(
        queues or {one.queue: one.weight for one in worker.request.queues},
        max_in_flight=max_in_flight or worker.request.max_in_flight,
        session_id=worker.started.session_id,
        in_flight=len(worker.unsettled),
        leases=lease_groups(worker.unsettled.values()),
        seq=worker.seq,
    )
