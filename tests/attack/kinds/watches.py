"""Streams of WatchStats, as many as one principal is let, beside a thousand queues."""

import asyncio

import grpc

from relay.v1 import admin_service_pb2
from tests.attack.kinds.names import make_queues
from tests.attack.place import Caller, Place
from tests.attack.stage import stage
from tests.support.figures import Figure

WATCHES = 500
QUEUES = 1000


class _Seen:
    """How many streams opened and how others ended, and their frames."""

    def __init__(self) -> None:
        self.refused: dict[str, int] = {}
        self.open = 0
        self.frames = 0
        self.largest = 0


async def _watch(caller: Caller, seen: _Seen) -> None:
    stream = caller.admin.WatchStats(admin_service_pb2.WatchStatsRequest(), metadata=caller.metadata)
    first = True
    try:
        async for frame in stream:
            seen.open += first
            first = False
            seen.frames += 1
            seen.largest = max(seen.largest, frame.ByteSize())
    except grpc.aio.AioRpcError as error:
        seen.refused[error.code().name] = seen.refused.get(error.code().name, 0) + 1
    finally:
        stream.cancel()


async def press(place: Place) -> None:
    async with place.caller(place.viewer) as caller:

        async def again() -> None:
            while True:
                await _watch(caller, _Seen())
                await asyncio.sleep(5)

        await asyncio.gather(*(again() for _ in range(120)))


async def measure(*, whole: bool) -> list[Figure]:
    watches = WATCHES if whole else 150
    async with stage() as on, on.place.caller(on.place.producer) as producer:
        await make_queues(producer, QUEUES)
        before, seen = on.rss_mib(), _Seen()
        async with on.place.caller(on.place.viewer) as caller, on.innocent() as felt:
            watching = [asyncio.create_task(_watch(caller, seen)) for _ in range(watches)]
            async with asyncio.timeout(120):
                while seen.open + sum(seen.refused.values()) < watches:  # noqa: ASYNC110 - polled
                    await asyncio.sleep(0.05)
            await asyncio.sleep(10 if whole else 2)
            held = on.rss_mib()
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)
        print(f"    {watches} watches: {seen.open} open, {seen.refused}, {seen.frames} frames", flush=True)
        other = sum(n for code, n in seen.refused.items() if code != "RESOURCE_EXHAUSTED")
        return [
            Figure(name="watches of one principal", value=seen.open, most=100, unit="streams"),
            Figure(name="refusals that are not RESOURCE_EXHAUSTED", value=other, most=0, unit="calls"),
            Figure(name="largest frame", value=seen.largest, most=1 << 20, unit="bytes"),
            Figure(name="memory while they watch", value=held - before, most=80, unit="MiB"),
            *felt.figures("watches"),
        ]
