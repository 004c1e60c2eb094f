"""Streams that end at a bad moment: what was claimed and not sent is ready again at once."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from relay.v1 import queue_service_pb2 as pb
from relay_conformance.proxy import Proxy
from relay_server import errors
from relay_server.model import Claimed
from tests.support.redis_server import RedisServer
from tests.support.relay import Relay, connect, connected, eventually, relay_server, spec
from tests.support.slow_reader import slow_reader

AT_ONCE_S = 1.0
JOBS = 80


async def test_cancelled_between_claim_and_send(
    relay: Relay, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The script has run, its answer is on the way, and the stream goes away."""
    claim = relay.app.engine.transitions.claim
    claimed, go_on = asyncio.Event(), asyncio.Event()

    async def slow_claim(*args: Any) -> Claimed:
        answer = await claim(*args)
        if any(answer.groups):
            claimed.set()
            await go_on.wait()
        return answer

    monkeypatch.setattr(relay.app.engine.transitions, "claim", slow_claim)
    ids = await relay.enqueue(queue, *(spec() for _ in range(5)))
    claimer = await relay.claimer(queue, lease=30)
    await claimed.wait()
    assert (await relay.stats(queue)).inflight == 5
    await claimer.close()
    await eventually(lambda: len(relay.app.streams) == 0, what="the stream's end")
    go_on.set()
    went = time.monotonic()

    async def back() -> bool:
        return (await relay.stats(queue)).ready == 5

    await eventually(lambda: back(), within=AT_ONCE_S, what="5 ready jobs")
    monkeypatch.undo()
    other = await relay.claimer(queue, lease=30)
    held = await other.take(5, within=5)
    assert time.monotonic() - went < 5
    assert [(one.id, one.job.attempt) for one in held] == [(id_, 1) for id_ in ids]


async def test_a_slow_reader_that_leaves_gives_back_what_was_not_written(relay: Relay, queue: str) -> None:
    claimer = await slow_reader(relay, queue, JOBS)
    await claimer.close()

    async def back() -> int:
        return (await relay.stats(queue)).ready

    await eventually(lambda: back(), within=AT_ONCE_S, what="ready jobs")
    stats = await relay.stats(queue)
    assert stats.ready + stats.inflight == JOBS
    assert stats.ready == stats.counters["handed_back"] > 20


async def test_a_server_told_to_stop_gives_back_what_a_slow_reader_did_not_take(
    own_redis: RedisServer, queue: str
) -> None:
    """Although the stream's write is stuck: a reader that does not read must not hold up the end either."""
    url = f"unix://{own_redis.socket}"
    async with relay_server(url) as observer, relay_server(url) as relay:
        await slow_reader(relay, queue, JOBS)
        assert relay.stop is not None
        began = time.monotonic()
        stopping = asyncio.ensure_future(relay.stop())

        async def back() -> int:
            return (await observer.stats(queue)).ready

        await eventually(lambda: back(), within=AT_ONCE_S, what="ready jobs")
        stats = await observer.stats(queue)
        assert stats.ready + stats.inflight == JOBS
        assert stats.ready == stats.counters["handed_back"] > 20
        await asyncio.wait_for(stopping, 10)
        assert time.monotonic() - began < 10


async def test_jobs_that_arrive_while_a_server_drains_stay_ready(own_redis: RedisServer, queue: str) -> None:
    url = f"unix://{own_redis.socket}"
    async with relay_server(url) as observer, relay_server(url) as relay:
        claimer = await relay.claimer(queue, max_in_flight=100, lease=30)
        await relay.enqueue(queue, *(spec() for _ in range(10)))
        held = await claimer.take(10)
        assert relay.stop is not None
        await relay.stop()
        await observer.enqueue(queue, *(spec() for _ in range(10)))
        assert isinstance(await claimer.end(), StopAsyncIteration)
        assert claimer.kinds()[-1] == "drain"
        stats = await observer.stats(queue)
        assert (stats.ready, stats.inflight) == (10, 10)
        assert set(await claimer.ack(*held, via=observer)) == {pb.LEASE_OUTCOME_OK}


async def test_what_cannot_be_given_back_while_redis_is_away_goes_back_when_it_is_there(
    relay: Relay, redis_proxy: Proxy, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = await slow_reader(relay, queue, JOBS)
    hand_back, tries = relay.app.engine.transitions.hand_back, []

    async def counted(*args: Any) -> int:
        tries.append(args)
        return await hand_back(*args)

    monkeypatch.setattr(relay.app.engine.transitions, "hand_back", counted)
    redis_proxy.cut_after(0, replies=False)
    redis_proxy.cut()
    await slow.close()
    await eventually(lambda: len(tries) > JOBS, what="further tries")
    redis_proxy.cut_after(None, replies=False)

    async def back() -> int:
        return (await relay.stats(queue)).ready

    await eventually(lambda: _quietly(back), within=20, what="ready jobs, long before their leases end")
    await eventually(lambda: not relay.app.hand_back.pending, what="all hand-backs")
    stats = await relay.stats(queue)
    assert stats.ready == stats.counters["handed_back"] > 20
    assert stats.counters.get("expired", 0) == 0


async def test_the_end_waits_only_so_long_for_a_redis_that_is_away(
    relay: Relay, redis_proxy: Proxy, queue: str
) -> None:
    slow = await slow_reader(relay, queue, JOBS)
    redis_proxy.cut_after(0, replies=False)
    redis_proxy.cut()
    await slow.close()
    assert relay.stop is not None
    await asyncio.wait_for(relay.stop(), 15)


async def _quietly(probe: Callable[[], Awaitable[int]]) -> int:
    try:
        return await probe()
    except errors.StoreUnavailable:
        return 0


async def test_200_streams_come_back_after_a_restart(own_redis: RedisServer, queue: str) -> None:
    """A reconnect storm: all are served again, and each job goes to one of them."""
    url, streams = f"unix://{own_redis.socket}", 200
    async with relay_server(url) as first:
        address = first.address
        await asyncio.gather(*(first.claimer(queue, max_in_flight=5, lease=30) for _ in range(streams)))
        assert len(first.app.streams) == streams
    began = time.monotonic()
    async with relay_server(url, listen=address) as second:
        channels = [connect(address) for _ in range(10)]
        clients = [Relay(address, channel) for channel in channels]
        claimers = await asyncio.gather(
            *(clients[n % 10].claimer(queue, max_in_flight=5, lease=30) for n in range(streams))
        )
        assert time.monotonic() - began < 15
        for _ in range(2):
            await second.enqueue(queue, *(spec() for _ in range(500)))
        await eventually(lambda: sum(claimer.received for claimer in claimers) == 1000, what="1000 jobs")
        held = [one for claimer in claimers for one in claimer.rest()]
        assert len({one.id for one in held}) == 1000
        assert max(len(claimer.unsettled) for claimer in claimers) <= 5
        stats = await second.stats(queue)
        assert (stats.ready, stats.inflight) == (0, 1000)
        for claimer in claimers:
            await claimer.close()
        for channel in channels:
            await channel.close()


async def test_redis_connections_cut_at_any_byte(relay: Relay, redis_proxy: Proxy, queue: str) -> None:
    """Requests and replies end in the middle; calls fail or succeed, and a repeat of each has one effect."""
    for n in (1, 50, 400, 1000, 3000):
        for replies in (False, True):
            redis_proxy.cut_after(n, replies=replies)
            redis_proxy.cut()
            async with connected(relay.address) as client:
                request = pb.EnqueueRequest(queue=queue, job=spec(b"x" * 100))
                first = await asyncio.gather(client.queue.Enqueue(request), return_exceptions=True)
                redis_proxy.cut_after(None, replies=replies)
                redis_proxy.cut()
                again = await _until_answered(client, request)
            assert again.job_id == request.job.id, first
    stats = await relay.stats(queue)
    assert (stats.ready, stats.counters["enqueued"]) == (10, 10)


async def _until_answered(client: Relay, request: pb.EnqueueRequest) -> pb.EnqueueResponse:
    async def ask() -> pb.EnqueueResponse | None:
        answers = await asyncio.gather(client.queue.Enqueue(request), return_exceptions=True)
        return answers[0] if isinstance(answers[0], pb.EnqueueResponse) else None

    answer = await eventually(lambda: ask(), what="an answer")
    assert isinstance(answer, pb.EnqueueResponse)
    return answer
