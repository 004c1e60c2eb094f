"""Claim streams that are opened and closed as fast as the server lets them, then a look at who works."""

import asyncio
import contextlib

import grpc
from redis.asyncio import Redis

from relay.v1 import admin_service_pb2
from relay.v1 import queue_service_pb2 as pb
from tests.attack.place import ATTACKER, Place
from tests.attack.stage import settled_mib, stage
from tests.support.figures import Figure

AT_ONCE = 16
QUEUES = [pb.QueueWeight(queue=f"{ATTACKER}-{i:02}-".ljust(128, "x"), weight=9) for i in range(32)]
KIB = 1 << 10


async def churn(place: Place, most: int) -> tuple[int, int]:
    """Opens and closes up to `most` streams of the longest names there are. How many were opened, and refused."""
    left, opened, refused = most, 0, 0

    async def one_by_one() -> None:
        nonlocal left, opened, refused
        async with place.caller(place.worker) as caller:
            while left > 0:
                left -= 1
                request = pb.ClaimRequest(worker_id="w" * 128, queues=QUEUES, max_in_flight=10)
                call = caller.queue.Claim(request, metadata=caller.metadata)
                try:
                    await call.read()
                    opened += 1
                except grpc.aio.AioRpcError:
                    refused += 1
                call.cancel()

    await asyncio.gather(*(one_by_one() for _ in range(AT_ONCE)))
    return opened, refused


async def press(place: Place) -> None:
    while True:
        with contextlib.suppress(grpc.aio.AioRpcError):
            await churn(place, 1000)


async def measure(*, whole: bool) -> list[Figure]:
    streams = 20_000 if whole else 400
    async with stage() as on:
        before = on.rss_mib()
        async with on.innocent() as felt:
            opened, refused = await churn(on.place, streams)
            await asyncio.sleep(3)  # closed sessions are noted once a second
            listed, failed = await _listed(on.place)
        print(f"    {opened} streams opened, {refused} refused, {listed} sessions listed", flush=True)
        return [
            Figure(name="sessions listed once all are closed", value=listed, most=0, unit="sessions"),
            Figure(name="ListWorkers failed", value=failed, most=0, unit="times"),
            Figure(name="kept of closed sessions", value=await _stored_kib(on.place), most=8, unit="KiB"),
            Figure(name="memory grown", value=await settled_mib(on) - before, most=40, unit="MiB"),
            *felt.figures(f"{streams} streams opened and closed"),
        ]


async def _listed(place: Place) -> tuple[int, int]:
    async with place.caller(place.viewer) as caller:
        request = admin_service_pb2.ListWorkersRequest()
        try:
            reply = await caller.admin.ListWorkers(request, metadata=caller.metadata, timeout=20)
        except grpc.aio.AioRpcError:
            return 0, 1
        return len(reply.workers), 0


async def _stored_kib(place: Place) -> float:
    """What the store keeps of workers' sessions, by its own account."""
    async with Redis.from_url(place.store) as store:
        sizes = [
            await store.memory_usage(key, samples=0) or 0 async for key in store.scan_iter("relay:*workers*")
        ]
    return sum(sizes) / KIB
