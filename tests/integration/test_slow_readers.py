"""What waits for workers that do not read is bounded in bytes, and the bound holds nobody else back."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from relay.v1 import queue_service_pb2 as pb
from relay_server.claims.session import Session
from tests.support.credentials import TokensFile, bearer
from tests.support.relay import KEEP_ALIVE_S, Relay, eventually, new_queue, relay_server, spec

BIG = b"x" * 200_000
MIB = 1 << 20


async def enqueue(relay: Relay, queue: str, jobs: int) -> None:
    for _ in range(jobs // 10):
        await relay.enqueue(queue, *(spec(BIG) for _ in range(10)))


def only_session(relay: Relay) -> Session:
    (session,) = relay.app.sessions
    return session


async def stuck(session: Session) -> None:
    """Nothing is claimed for it, because of what waits, and for two keep-alive intervals nothing was written."""
    sent = -1

    async def still() -> bool:
        nonlocal sent
        before, sent = sent, session.sent
        await asyncio.sleep(2 * KEEP_ALIVE_S)
        return sent == before and not session.reserved and not session.has_room

    await eventually(still, what="a session without room")


async def test_a_reader_that_stops_costs_its_bytes_and_holds_nobody_back(redis_url: str) -> None:
    queue = new_queue()
    async with relay_server(redis_url, session_bytes_max=2 * MIB) as relay:
        await enqueue(relay, queue, 100)
        slow = await relay.claimer(queue, max_in_flight=100, reading=False)
        session = only_session(relay)
        await stuck(session)
        assert session.held_bytes <= 2 * MIB
        claimed = (await relay.stats(queue)).inflight
        assert claimed - session.sent <= 10, (
            "of 200 kB each; the others left the server, or one of them is leaving"
        )
        quick = await relay.claimer(queue, max_in_flight=100)
        await quick.ack(*await quick.take(100 - claimed))
        await enqueue(relay, queue, 30)
        await quick.take(30)
        slow.read_on()
        await slow.ack(*await slow.take(claimed))
        await enqueue(relay, queue, 10)
        assert (await relay.stats(queue)).ready + len(await slow.take(1)) > 0, "it gets jobs again"


async def test_the_bytes_of_all_its_queues_count_together(redis_url: str) -> None:
    queues = {new_queue(): 1 for _ in range(8)}
    async with relay_server(redis_url, session_bytes_max=3 * MIB) as relay:
        for queue in queues:
            await enqueue(relay, queue, 10)
        slow = await relay.claimer(queues, max_in_flight=200, reading=False)
        session, most = only_session(relay), 0

        async def watched() -> bool:
            nonlocal most
            most = max(most, session.held_bytes)
            return not session.reserved and not session.has_room

        await eventually(watched)
        assert most <= 3 * MIB
        slow.read_on()
        held = await slow.take(80)
        assert {one.queue for one in held} == set(queues)


async def test_all_readers_together_have_a_bound_and_go_on_in_turn(redis_url: str) -> None:
    """Queues whose sessions had no room in the server look again as soon as others read, not when they time out."""
    queues = [new_queue() for _ in range(6)]
    async with relay_server(redis_url, waiting_bytes_max=16 * MIB) as relay:
        for queue in queues:
            await enqueue(relay, queue, 50)
        readers = [await relay.claimer(queue, max_in_flight=50, reading=False) for queue in queues]
        rooms = relay.app.sessions.rooms
        await eventually(lambda: not rooms.open, what="a full server")
        assert rooms.used <= 16 * MIB
        for reader in readers:
            reader.read_on()
        for reader in readers:
            await reader.take(50, within=4)


async def test_a_principal_that_does_not_read_fills_its_own_room(redis_url: str, tmp_path: Path) -> None:
    tokens = TokensFile(tmp_path / "tokens.toml")
    shop = tokens.add("shop", producer="*", worker="*")
    mallory = tokens.add("mallory", worker="*")
    queue = new_queue()

    async def claims(relay: Relay, token: str) -> Any:
        request = pb.ClaimRequest(
            queues=[pb.QueueWeight(queue=queue)], worker_id="w", max_in_flight=200, session_id=""
        )
        call: Any = relay.queue.Claim(request, metadata=bearer(token))
        await call.read()
        return call

    async with relay_server(redis_url, tokens_file=tokens.path, principal_bytes_max=8 * MIB) as relay:
        for _ in range(15):
            batch = pb.EnqueueBatchRequest(queue=queue, jobs=[spec(BIG) for _ in range(10)])
            await relay.queue.EnqueueBatch(batch, metadata=bearer(shop))
        calls = [await claims(relay, mallory) for _ in range(3)]
        room = relay.app.sessions.rooms.of("mallory")
        await eventually(lambda: not room.open, what="a full room")
        assert room.used <= 8 * MIB
        innocent = await claims(relay, shop)
        frame = await innocent.read()
        assert frame.WhichOneof("frame") == "jobs"
        for call in (*calls, innocent):
            call.cancel()


@pytest.mark.parametrize("times", [1, 1000])
async def test_a_reader_that_stopped_gets_one_cancel_of_each_job(redis_url: str, times: int) -> None:
    """However often it is asked for: what the worker is to hear waits in the server."""
    queue = new_queue()
    async with relay_server(redis_url) as relay:
        await enqueue(relay, queue, 100)
        slow = await relay.claimer(queue, max_in_flight=100, reading=False)
        session = only_session(relay)
        await eventually(lambda: session.unsettled == 100)
        (stream,) = relay.app.streams.serving
        ids = {id_ for group in session.groups.values() for id_ in group.ids}
        for _ in range(times):
            stream.cancelled(queue, ids)
        assert len(stream._cancelled) == 100
        slow.read_on()
        await slow.take(100)
        await slow.frame("cancel")
        assert [len(one.cancel.jobs) for one in slow.frames if one.WhichOneof("frame") == "cancel"] == [100]


async def test_a_reader_that_never_reads_again_is_ended(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lease is over, and what gRPC keeps for it is of no use to anybody."""
    monkeypatch.setattr("relay_server.claims.stream._READS_WITHIN_S", 0.5)
    queue = new_queue()
    async with relay_server(redis_url) as relay:
        await enqueue(relay, queue, 50)
        await relay.claimer(queue, max_in_flight=50, reading=False, lease=1)
        await eventually(lambda: len(relay.app.streams) == 1)
        await eventually(lambda: len(relay.app.streams) == 0, what="the end of the stream")
        await eventually(lambda: relay.app.sessions.rooms.used == 0)
        other = await relay.claimer(queue, max_in_flight=100)
        await asyncio.wait_for(other.take(50), 10)


async def test_a_stream_that_another_took_over_ends_also_when_nobody_reads_it(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a client that opens one after the other for a session would have any number of them, each with a frame."""
    monkeypatch.setattr("relay_server.claims.streams._SUPERSEDED_S", 0.2)
    queue = new_queue()
    async with relay_server(redis_url) as relay:
        await enqueue(relay, queue, 50)
        first = await relay.claimer(queue, max_in_flight=50, reading=False)
        session = only_session(relay)
        await eventually(lambda: session.unsettled == 50)
        for _ in range(3):
            await relay.claimer(queue, max_in_flight=50, reading=False, session_id=first.started.session_id)
        await eventually(lambda: len(relay.app.streams.serving) == 1, what="the end of the others")
        assert list(relay.app.sessions) == [session]
