"""Claim, rule 4: leases outlive streams. Workers that come back, elsewhere too, late, twice or never."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from relay.v1 import admin_service_pb2 as admin_pb
from relay.v1 import queue_service_pb2 as pb
from relay_server.words import LeaseWord
from tests.integration.claim_states import reconnect, stalled
from tests.support.relay import (
    Relay,
    eventually,
    lease_groups,
    new_queue,
    relay_server,
    seconds,
    spec,
)

Start = Callable[..., Awaitable[Relay]]


@pytest.fixture
def queue() -> str:
    return new_queue()


@pytest.mark.parametrize("elsewhere", [False, True], ids=["same-server", "another-server"])
async def test_rule_4_a_worker_reconnects_with_its_leases(
    relay: Relay, another: Start, queue: str, elsewhere: bool
) -> None:
    target = await another() if elsewhere else relay
    await relay.enqueue(queue, *(spec() for _ in range(10)))
    worker = await relay.claimer(queue, max_in_flight=4)
    held = await worker.take(4)
    await worker.close()
    # Meanwhile one was settled by another call, and one by an operator.
    await target.queue.Ack(pb.AckRequest(leases=lease_groups(held[:1])))
    await relay.ops.cancel(queue, [bytes.fromhex(held[1].id.replace("-", ""))])

    back = await reconnect(worker, target)
    lost = {one.job_id: one.outcome for one in (await back.frame("cancel")).cancel.jobs}
    assert lost == {held[0].id: pb.LEASE_OUTCOME_GONE, held[1].id: pb.LEASE_OUTCOME_CANCELLED}
    assert back.received == 0  # four are in flight as the worker says, until it restates
    back.unsettled = {one.id: one for one in held[1:]}
    await back.restate()
    await back.take(1)
    assert await back.quiet() == 4
    assert await back.ack(*held[1:]) == [pb.LEASE_OUTCOME_CANCELLED] + [pb.LEASE_OUTCOME_OK] * 2
    await back.take(3)


async def test_a_second_stream_of_a_session_takes_over_from_the_first(relay: Relay, queue: str) -> None:
    other_queue = new_queue()
    await relay.enqueue(queue, *(spec() for _ in range(10)))
    worker = await relay.claimer({queue: 1, other_queue: 1}, max_in_flight=2)
    await worker.take(2)
    back = await reconnect(worker, relay, queues={queue: 1}, max_in_flight=5)
    assert isinstance(await worker.end(), StopAsyncIteration)
    await back.take(3)
    # The queue that it no longer claims from is served to others.
    await relay.enqueue(other_queue, spec())
    late = await relay.claimer(other_queue)
    await late.take(1)
    assert await back.quiet() == 5


async def test_a_takeover_from_a_stalled_stream_keeps_the_window(relay: Relay, queue: str) -> None:
    worker = await stalled(relay, queue, jobs=56)
    sent = worker.received
    back = await reconnect(
        worker, relay
    )  # it read nothing, so the frame that was stuck comes again; one job, as big as it is
    held = await back.take(57 - sent)
    assert await back.quiet() == 57 - sent
    await back.ack(*held)
    assert await back.quiet() == 0
    session = relay.app.sessions.find(back.started.session_id, "anyone")
    assert session is not None
    assert (session.queued, session.sent, session.reserved) == (0, 57 - sent, 0)


async def test_disconnect_grace_ends_only_leases_that_were_not_extended(relay: Relay, queue: str) -> None:
    await relay.enqueue(queue, *(spec(retry={"max_backoff": seconds(0)}) for _ in range(2)))
    worker = await relay.claimer(queue, grace=0.4)
    extended, silent = await worker.take(2)
    await worker.close()
    await eventually(lambda: len(relay.app.streams) == 0)
    other = await relay.claimer(queue)
    taking = asyncio.create_task(other.take(1, within=3))
    while not taking.done():  # one heartbeat alone might come before the server noted the stream's end
        await worker.extend(extended)
        await asyncio.wait({taking}, timeout=0.05)
    (again,) = taking.result()
    assert again.id == silent.id
    assert again.job.attempt == 2
    assert await worker.ack(silent, report=False) == [pb.LEASE_OUTCOME_LEASE_LOST]
    assert await worker.ack(extended, report=False) == [pb.LEASE_OUTCOME_OK]


async def test_without_a_grace_leases_run_out_by_themselves(relay: Relay, queue: str) -> None:
    await relay.enqueue(queue)
    worker = await relay.claimer(queue)
    (held,) = await worker.take(1)
    await worker.close()
    await eventually(lambda: list(relay.app.sessions) == [])
    other = await relay.claimer(queue)
    assert await other.quiet() == 0
    assert await other.ack(held) == [pb.LEASE_OUTCOME_OK]


async def test_a_worker_that_is_back_in_time_loses_nothing_to_its_grace(relay: Relay, queue: str) -> None:
    await relay.enqueue(queue)
    worker = await relay.claimer(queue, grace=0.3)
    (held,) = await worker.take(1)
    await worker.close()
    await eventually(lambda: len(relay.app.streams) == 0)
    back = await reconnect(worker, relay)
    await back.quiet()
    await back.quiet()
    assert await back.ack(held) == [pb.LEASE_OUTCOME_OK]


async def test_one_look_at_a_time_for_leases_that_ended_elsewhere(
    relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the store is slow they would pile up."""
    asked, answer = list[str](), asyncio.Event()

    async def held(queue: str, leases: Any) -> tuple[int, list[Any]]:
        asked.append(queue)
        await answer.wait()
        return 0, [LeaseWord.OK for _ in leases]

    queue = new_queue()
    claimer = await relay.claimer(queue)
    await relay.enqueue(queue)
    await claimer.take(1)
    monkeypatch.setattr(relay.app.engine.transitions, "held", held)
    (stream,) = relay.app.streams.serving
    stream.session.unsettled = 0
    for _ in range(3):
        relay.app.streams.check_leases(stream)
    await eventually(lambda: bool(asked), what="a look")
    answer.set()
    assert asked == [queue]


async def test_sessions_that_wait_for_their_workers_are_bounded(
    redis_url: str,
) -> None:
    """Whoever loses more of them than it may have streams: the leases of the others run out by themselves."""
    queue = new_queue()
    async with relay_server(redis_url, streams_max=2) as relay:
        await relay.enqueue(queue, *(spec() for _ in range(4)))
        for _ in range(4):
            worker = await relay.claimer(queue, max_in_flight=1, grace=3600)
            await worker.take(1)
            await worker.close()
            await eventually(lambda: len(relay.app.streams) == 0)
        assert len(list(relay.app.sessions)) == 2
        back = await relay.claimer(
            queue, max_in_flight=1, session_id=next(map(relay.app.sessions.name, relay.app.sessions))
        )
        await back.quiet()
        assert relay.app.streams.away == {"anyone": 1}


async def test_a_session_that_ended_is_no_longer_listed(relay: Relay, queue: str) -> None:
    async def listed() -> dict[str, bool]:
        reply = await relay.admin.ListWorkers(admin_pb.ListWorkersRequest())
        return {worker.session_id: worker.connected for worker in reply.workers}

    await relay.enqueue(queue)
    idle = await relay.claimer(new_queue(), grace=600)
    busy = await relay.claimer(queue, grace=600)
    (held,) = await busy.take(1)

    async def both() -> bool:
        return list((await listed()).values()) == [True, True]

    await eventually(both)
    await idle.close()
    await busy.close()

    async def one_may_come_back() -> bool:
        return await listed() == {relay.app.sessions.split(busy.started.session_id)[1]: False}

    await eventually(one_may_come_back)
    back = await reconnect(busy, relay)
    await back.ack(held)
    await back.close()

    async def none() -> bool:
        return await listed() == {}

    await eventually(none)
