"""Readers of HTTP streams and of large answers who stop reading: what waits for them is bounded in bytes.

A worker's token claims jobs of 200 KB by NDJSON and SSE on many connections, an operator's lists a queue whose page is
large, and none of them reads on. Part of them read a little now and then.
"""

import asyncio
import contextlib
import json
import time

from relay.v1 import queue_service_pb2 as pb
from tests.attack.over_http import Connection, abandon, connect, head, open_connections
from tests.attack.place import ATTACKER, Place
from tests.attack.stage import settled_mib, stage
from tests.support.figures import Figure
from tests.support.relay import new_id, spec

QUEUE = f"{ATTACKER}-slow"
PAYLOAD_BYTES = 200_000
SHORT = ("--http-write-timeout-s", "1", "--http-idle-timeout-s", "1")
_CLAIM = {
    "queues": [{"queue": QUEUE}],
    "workerId": "slow",
    "maxInFlight": 100,
    "lease": "5s",
    "disconnectGrace": "1s",
}


async def filled(place: Place, jobs: int) -> None:
    """So many large jobs in the queue."""
    async with place.caller(place.producer) as caller:
        for _ in range(jobs):
            request = pb.EnqueueRequest(queue=QUEUE, job=spec(bytes(PAYLOAD_BYTES), id=new_id()))
            await caller.queue.Enqueue(request, metadata=caller.metadata)


async def _claims(place: Place, accept: str) -> Connection:
    reader, writer = await connect(place, read_bytes=4096)
    body = json.dumps(_CLAIM).encode()
    more = {"Content-Type": "application/json", "Content-Length": str(len(body)), "Accept": accept}
    writer.write(head("POST", "/api/v1/claims", token=place.worker, more=more) + body)
    return reader, writer


async def _lists(place: Place) -> Connection:
    """Whole pages of the queue, one after the other."""
    reader, writer = await connect(place, read_bytes=4096)
    path = f"/api/v1/queues/{QUEUE}/jobs?state=JOB_STATE_READY&pageSize=500"
    writer.write(head("GET", path, token=place.operator) * 10)
    return reader, writer


async def opened(place: Place, readers: int) -> list[Connection]:
    made: list[Connection] = []
    for number in range(readers):
        with contextlib.suppress(OSError, EOFError):
            if number % 4 == 3:
                made.append(await _lists(place))
            else:
                made.append(
                    await _claims(place, "text/event-stream" if number % 2 else "application/x-ndjson")
                )
    return made


async def _sip(connections: list[Connection]) -> None:
    """Every tenth reads a little now and then."""
    while True:
        await asyncio.sleep(0.5)
        for reader, _ in connections[::10]:
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(0.05):
                    await reader.read(4096)


async def press(place: Place) -> None:
    await filled(place, 100)
    while True:
        held = await opened(place, 60)
        sipping = asyncio.create_task(_sip(held))
        try:
            await asyncio.sleep(20)
        finally:
            sipping.cancel()
            abandon(held)


async def measure(*, whole: bool) -> list[Figure]:
    readers, jobs, within, most_mib = (400, 2000, 80.0, 420) if whole else (40, 100, 12.0, 160)
    async with stage(*(() if whole else SHORT)) as on:
        await filled(on.place, jobs)
        before, most = on.rss_mib(), 0.0
        async with on.innocent() as felt:
            held = await opened(on.place, readers)
            began = time.monotonic()
            while time.monotonic() - began < within:
                most = max(most, on.rss_mib())
                if time.monotonic() - began > within / 2 and not open_connections(on.place, unread=True):
                    break
                await asyncio.sleep(0.2)
            left = open_connections(on.place, unread=True)
            abandon(held)
        after = await settled_mib(on)
        print(f"    memory: {before:.0f} MiB before, {most:.0f} during, {after:.0f} after", flush=True)
        return [
            Figure(
                name=f"readers with something unread, of {readers}", value=left, most=0, unit="connections"
            ),
            Figure(name=f"memory for {readers} readers", value=most - before, most=most_mib, unit="MiB"),
            Figure(name="memory kept", value=after - before, most=40, unit="MiB"),
            *felt.figures("slow readers by HTTP"),
        ]
