"""A worker that holds jobs and is silent for a whole lease is frozen: it gets no more to let run out (I7, I16)."""

import time
from collections.abc import Awaitable, Callable

from relay.v1 import queue_service_pb2 as pb
from relay_server.claims.session import Session, Terms
from tests.support.relay import Relay, eventually, new_queue, seconds, spec

Start = Callable[..., Awaitable[Relay]]


async def test_a_silent_worker_gets_no_more_jobs_until_it_is_heard(relay: Relay) -> None:
    queue = new_queue()
    frozen = await relay.claimer(queue, max_in_flight=10, lease=1)
    await relay.enqueue(queue, spec())
    (held,) = await frozen.take(1)
    await frozen.restate()  # as SDKs do: from now on the window is what it says
    (session,) = relay.app.sessions
    await eventually(lambda: session.silent, what="a lease without a word")
    others = await relay.enqueue(queue, *(spec() for _ in range(20)))
    healthy = await relay.claimer(queue, max_in_flight=30, lease=10)
    taken = {one.id for one in await healthy.take(21)}
    assert taken == {held.id, *others}, "also the one whose lease ran out"
    assert frozen.received == 1
    (late,) = await frozen.extend(held)
    assert late.outcome == pb.LEASE_OUTCOME_LEASE_LOST
    assert not session.silent
    await healthy.close()
    await relay.enqueue(queue, spec())
    await frozen.take(1)


async def test_a_worker_without_reports_is_alive_by_its_settles_elsewhere(
    relay: Relay, another: Start
) -> None:
    queue, other = new_queue(), await another()
    await relay.enqueue(queue, spec(), spec())
    worker = await relay.claimer(queue, max_in_flight=2, lease=30)
    held, _ = await worker.take(2)
    (session,) = relay.app.sessions
    before = session.alive_at
    await worker.ack(held, report=False, via=other)
    await eventually(lambda: session.alive_at > before, what="the prune that finds the settled lease")


async def test_the_end_of_an_expired_lease_is_no_sign_of_life(relay: Relay) -> None:
    queue = new_queue()
    await relay.enqueue(queue, spec(retry={"max_backoff": seconds(0)}))
    frozen = await relay.claimer(queue, lease=1)
    await frozen.take(1)
    (session,) = relay.app.sessions
    before = session.alive_at
    healthy = await relay.claimer(queue, lease=30)
    await healthy.ack(*await healthy.take(1))
    await eventually(lambda: not session.tracked, what="the prune")
    assert session.alive_at == before


def test_a_session_without_jobs_is_never_silent() -> None:
    terms = Terms(
        worker_id="w", client_version="", queues={"q": 1}, max_in_flight=2, lease_ms=1000, grace_ms=0
    )
    session = Session("s", terms, "anyone")
    session.reopen(terms, 0)
    session.alive_at = time.monotonic() - 3600
    assert (session.silent, session.free) == (False, 2)
    session.unsettled = 1
    assert (session.silent, session.free) == (True, 0)
    session.mark_alive()
    assert (session.silent, session.free) == (False, 1)
