"""The measurements of a soak, each on a server program of its own run, with the limit that it must keep."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import grpc
from redis.asyncio import Redis

from relay.v1 import admin_service_pb2
from relay.v1 import queue_service_pb2 as pb
from relay_server.engine import Operations, ScriptRunner, make_engine
from relay_server.engine.keys import SESSION_KEYS
from relay_server.storage.binary import find_binary
from tests.support.figures import KIB, MIB, Figure, rss_bytes
from tests.support.redis_server import RedisServer, link_to, running_server
from tests.support.relay import (
    Relay,
    connect,
    connected,
    eventually,
    lease_groups,
    new_queue,
    seconds,
    server_program,
    spec,
)

CHANNELS = 16  # each carries 250 streams at most
# What may stay of a queue that holds no job.
KEPT = {"conf", "count", "history"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """A running server program and its Redis."""

    redis: RedisServer
    relay: Relay
    pid: int

    def rss(self) -> int:
        """Resident memory of the server, in bytes."""
        return rss_bytes(self.pid)

    async def streams(self) -> int:
        info = await self.relay.admin.GetServerInfo(admin_service_pb2.GetServerInfoRequest())
        return info.streams

    @asynccontextmanager
    async def operations(self) -> AsyncIterator[tuple[Redis, Operations]]:
        async with self.redis.client() as client:
            yield client, make_engine(ScriptRunner(link_to(client)), server_id="soak").operations


@asynccontextmanager
async def bench() -> AsyncIterator[Bench]:
    """A server on a Redis of its own."""
    with running_server(find_binary()) as redis:
        async with (
            server_program("--redis-url", f"unix://{redis.socket}") as program,
            connected(program.address) as relay,
        ):
            yield Bench(redis=redis, relay=relay, pid=program.process.pid)


@asynccontextmanager
async def _channels(bench: Bench) -> AsyncIterator[list[Relay]]:
    async with AsyncExitStack() as stack:
        yield [
            Relay(bench.relay.address, await stack.enter_async_context(connect(bench.relay.address)))
            for _ in range(CHANNELS)
        ]


async def _cycle(relay: Relay, queue: str, n: int) -> None:
    """Opens and cancels `n` streams, one after the other."""
    request = pb.ClaimRequest(
        queues=[pb.QueueWeight(queue=queue)], worker_id="soak", max_in_flight=4, disconnect_grace=seconds(1)
    )
    for _ in range(n):
        call = relay.queue.Claim(request)
        assert await call.read() is not grpc.aio.EOF
        call.cancel()


async def cycles(bench: Bench, n: int, *, warm_up: int = 1000) -> list[Figure]:
    """Streams that are opened and cancelled leave nothing behind."""
    queue = new_queue()
    async with _channels(bench) as relays:

        async def run(total: int) -> None:
            await asyncio.gather(*(_cycle(relay, queue, total // CHANNELS) for relay in relays))

            async def none() -> bool:
                return await bench.streams() == 0

            await eventually(lambda: none(), what="the end of all streams")

        await run(warm_up)
        before, began = bench.rss(), time.monotonic()
        await run(n)
        took = time.monotonic() - began
    grown = (bench.rss() - before) / MIB
    print(f"    {n} streams opened and cancelled in {took:.1f} s, {n / took:.0f} a second")
    # A fixed part for what the allocator keeps; per stream a leak of one frame or call would show.
    return [Figure(name=f"memory grown by {n} streams", value=grown, most=4 + n * 0.06 / KIB, unit="MiB")]


async def slow_consumer(bench: Bench, *, window: int = 200, jobs: int = 2000) -> list[Figure]:
    """A worker that stops reading costs its window, whatever waits behind it."""
    queue, payload = new_queue(), b"x" * 10_000
    before = bench.rss()
    claimer = await bench.relay.claimer(queue, max_in_flight=window, lease=30, reading=False)
    for _ in range(jobs // 100):
        await bench.relay.enqueue(queue, *(spec(payload) for _ in range(100)))
    async with bench.operations() as (_, ops):

        async def full() -> bool:
            return (await ops.stats(queue)).inflight >= window

        await eventually(lambda: full(), what="a full window")
        # Long enough for a server that did not hold the window to show it.
        await bench.relay.enqueue(queue, *(spec(payload) for _ in range(100)))
        inflight = (await ops.stats(queue)).inflight
        grown = (bench.rss() - before) / MIB
        await claimer.close()
        await ops.purge(queue, limit=500)
    return [
        Figure(
            name=f"jobs held by a reader that stopped, window {window}",
            value=inflight,
            most=window,
            unit="jobs",
        ),
        # Its window, a batch of 1 MiB a claim, and what gRPC and the allocator keep of the requests.
        Figure(
            name=f"memory grown while {jobs} jobs of 10 kB waited",
            value=grown,
            most=16 + 2 * window * len(payload) / MIB,
            unit="MiB",
        ),
    ]


async def idle(bench: Bench, streams: int) -> list[Figure]:
    """Streams that have nothing to do cost little memory and next to no Redis traffic."""
    queue = new_queue()
    async with _channels(bench) as relays:
        before = bench.rss()
        calls = []
        for i in range(streams):
            claimer = await relays[i % CHANNELS].claimer(queue, max_in_flight=10, reading=False)
            calls.append(claimer)
        each = (bench.rss() - before) / KIB / streams
        async with bench.operations() as (client, _):

            async def all_noted() -> bool:
                return int(await client.zcard(SESSION_KEYS["seen"])) >= streams

            await eventually(all_noted, what="the streams in the roster")  # which is written once for each
            first = int((await client.info("stats"))["total_commands_processed"])
            await asyncio.sleep(2)
            commands = (int((await client.info("stats"))["total_commands_processed"]) - first) / 2
        for claimer in calls:
            await claimer.close()
    return [
        Figure(name=f"memory of each of {streams} idle streams", value=each, most=100, unit="KiB"),
        Figure(
            name=f"Redis commands a second with {streams} idle streams", value=commands, most=60, unit="/s"
        ),
    ]


async def drained(bench: Bench, rounds: int, *, jobs: int = 500) -> list[Figure]:
    """I13: what finished jobs leave in Redis does not grow."""
    queue = new_queue()
    claimer = await bench.relay.claimer(queue, max_in_flight=jobs, lease=30)

    async def work(n: int) -> None:
        for _ in range(n):
            await bench.relay.enqueue(queue, *(spec(b"x" * 200) for _ in range(jobs)))
            held = await claimer.take(jobs)
            for at in range(0, jobs, 250):
                part = held[at : at + 250]
                claimer.settled(part)
                request = pb.AckRequest(leases=lease_groups(part), window=claimer.report())
                assert set((await bench.relay.queue.Ack(request)).outcomes) == {pb.LEASE_OUTCOME_OK}

    async with bench.operations() as (client, ops):
        await work(2)
        used_before = int((await client.info("memory"))["used_memory"])
        began = time.monotonic()
        await work(rounds)
        took = time.monotonic() - began
        left = await _lasting(client, queue)
        grown = (int((await client.info("memory"))["used_memory"]) - used_before) / KIB
        stats = await ops.stats(queue)
    await claimer.close()
    assert stats.counters["acked"] == (rounds + 2) * jobs
    print(
        f"    {rounds * jobs} jobs in {took:.1f} s, {rounds * jobs / took:.0f} a second, one client on raw stubs"
    )
    others = sorted(left - {f"relay:{{{queue}}}:{name}" for name in KEPT})
    return [
        Figure(
            name=f"keys left by a drained queue beyond {sorted(KEPT)}",
            value=len(others),
            most=0,
            unit=f"{others}",
        ),
        Figure(
            name=f"memory of Redis grown by {rounds * jobs} finished jobs", value=grown, most=512, unit="KiB"
        ),
    ]


async def _lasting(client: Redis, queue: str) -> set[str]:
    """The queue's keys that have no TTL."""
    found = [key async for key in client.scan_iter(match=f"relay:{{{queue}}}:*", count=1000)]
    return {key.decode() for key in found if await client.ttl(key) == -1}
