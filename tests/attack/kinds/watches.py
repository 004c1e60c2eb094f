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


class _Told:
    """How the streams ended, and what they were told."""

    def __init__(self) -> None:
        self.refused: dict[str, int] = {}
        self.open = 0
        self.frames = 0
        self.largest = 0


async def _watch(caller: Caller, told: _Told) -> None:
    stream = caller.admin.WatchStats(admin_service_pb2.WatchStatsRequest(), metadata=caller.metadata)
    first = True
    try:
        async for frame in stream:
            told.open += first
            first = False
            told.frames += 1
            told.largest = max(told.largest, frame.ByteSize())
    except grpc.aio.AioRpcError as error:
        told.refused[error.code().name] = told.refused.get(error.code().name, 0) + 1
    finally:
        stream.cancel()


async def press(place: Place) -> None:
    async with place.caller(place.viewer) as caller:

        async def again() -> None:
            while True:
                await _watch(caller, _Told())
                await asyncio.sleep(5)

        await asyncio.gather(*(again() for _ in range(120)))


async def measure(*, whole: bool) -> list[Figure]:
    watches = WATCHES if whole else 150
    async with stage() as on, on.place.caller(on.place.producer) as producer:
        await make_queues(producer, QUEUES)
        before, told = on.rss_mib(), _Told()
        async with on.place.caller(on.place.viewer) as caller, on.innocent() as felt:
            watching = [asyncio.create_task(_watch(caller, told)) for _ in range(watches)]
            async with asyncio.timeout(120):
                while told.open + sum(told.refused.values()) < watches:  # noqa: ASYNC110 - polled
                    await asyncio.sleep(0.05)
            await asyncio.sleep(10 if whole else 2)
            held = on.rss_mib()
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)
        print(f"    {watches} watches: {told.open} open, {told.refused}, {told.frames} frames", flush=True)
        other = sum(n for code, n in told.refused.items() if code != "RESOURCE_EXHAUSTED")
        return [
            Figure(name="watches of one principal", value=told.open, most=100, unit="streams"),
            Figure(name="refusals that are not RESOURCE_EXHAUSTED", value=other, most=0, unit="calls"),
            Figure(name="largest frame", value=told.largest, most=1 << 20, unit="bytes"),
            Figure(name="memory while they watch", value=held - before, most=80, unit="MiB"),
            *felt.figures("watches"),
        ]
