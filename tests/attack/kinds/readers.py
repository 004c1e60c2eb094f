"""Workers that claim large jobs and do not read: what waits for them is the server's memory."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc

from relay.v1 import job_pb2
from relay.v1 import queue_service_pb2 as pb
from tests.attack.place import ATTACKER, Place
from tests.attack.stage import Stage, settled_mib, stage
from tests.support.figures import Figure

BIG = f"{ATTACKER}-big"
PAYLOAD_BYTES = 1_000_000
WANTED = 2000  # jobs that each reader says it has room for
ENQUEUES_AT_ONCE = 4
# Of a reader that does not read, gRPC's own buffers take no more than this.
SMALL_WINDOW = {"grpc.http2.bdp_probe": 0, "grpc.http2.lookahead_bytes": 64 << 10}


async def fill(place: Place, jobs: int) -> None:
    """Large jobs in one queue of the attacker's."""
    left = jobs
    async with place.caller(place.producer) as caller:

        async def one_by_one() -> None:
            nonlocal left
            while left > 0:
                left -= 1
                job = job_pb2.JobSpec(type="big", payload=b"x" * PAYLOAD_BYTES)
                request = pb.EnqueueRequest(queue=BIG, job=job)
                with contextlib.suppress(grpc.aio.AioRpcError):
                    await caller.queue.Enqueue(request, metadata=caller.metadata, timeout=60)

        await asyncio.gather(*(one_by_one() for _ in range(ENQUEUES_AT_ONCE)))


@asynccontextmanager
async def readers(place: Place, streams: int) -> AsyncIterator[list[Any]]:
    """Streams that were started and are then not read."""
    async with place.caller(place.worker, **SMALL_WINDOW) as caller:
        calls: list[Any] = []
        for i in range(streams):
            request = pb.ClaimRequest(
                worker_id=f"slow-{i}", queues=[pb.QueueWeight(queue=BIG)], max_in_flight=WANTED
            )
            call = caller.queue.Claim(request, metadata=caller.metadata)
            with contextlib.suppress(grpc.aio.AioRpcError):
                await call.read()
                calls.append(call)
        try:
            yield calls
        finally:
            for call in calls:
                call.cancel()


@asynccontextmanager
async def http_readers(place: Place, streams: int) -> AsyncIterator[list[Any]]:
    """The same over HTTP: what asyncio reads ahead is 128 KiB."""
    body = json.dumps({"workerId": "slow", "queues": [{"queue": BIG}], "maxInFlight": WANTED}).encode()
    head = (
        f"POST /api/v1/claims HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {place.worker}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    connections: list[Any] = []
    try:
        for _ in range(streams):
            with contextlib.suppress(OSError):
                reader, writer = await asyncio.open_connection("localhost", place.http_port, ssl=place.tls)
                writer.write(head.encode() + body)
                if b" 200 " in await reader.readline():
                    connections.append((reader, writer))
        yield connections
    finally:
        for _, writer in connections:
            writer.transport.abort()


async def press(place: Place) -> None:
    await fill(place, 100)
    while True:
        async with readers(place, 50), http_readers(place, 20):
            await asyncio.sleep(20)


async def measure(*, whole: bool) -> list[Figure]:
    jobs, streams = (600, 30) if whole else (120, 4)
    async with stage() as on:
        await fill(on.place, jobs)
        before = await settled_mib(on)
        figures: list[Figure] = []
        # What waits is bounded by session and principal; a frame that is being written is kept three times. Over HTTP
        # one more is in the gateway's hands, as JSON.
        waits, frames = min(streams * 4, 64) + 2 * streams, streams * 6
        for door, opening, most in (("gRPC", readers, waits), ("HTTP", http_readers, waits + frames)):
            async with on.innocent() as felt, opening(on.place, streams) as opened:
                held = await _most_mib(on, 20 if whole else 4) - before
                name = f"{streams} readers of {jobs} jobs of 1 MB over {door}"
                figures += [
                    Figure(name=f"{name}: memory", value=held, most=most + 40, unit="MiB"),
                    Figure(name=f"{name}: refused", value=streams - len(opened), most=0, unit="streams"),
                ]
            figures += felt.figures(f"readers over {door} that do not read")
        return figures


async def _most_mib(on: Stage, seconds: float) -> float:
    most = 0.0
    for _ in range(int(seconds * 4)):
        await asyncio.sleep(0.25)
        most = max(most, on.rss_mib())
    return most
