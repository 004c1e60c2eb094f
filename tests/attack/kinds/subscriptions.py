"""Claim streams that each name 32 queues of their own: a dispatcher, a channel and claims for every one of them."""

import asyncio
import contextlib

import grpc

from relay.v1 import queue_service_pb2
from tests.attack.place import ATTACKER, Caller, Place
from tests.attack.stage import settled_mib, stage
from tests.support.figures import Figure

STREAMS, QUEUES = 500, 32


async def _hold(caller: Caller, number: int, opened: dict[str, int]) -> None:
    """One stream until it ends; a refusal is noted."""
    queues = [
        queue_service_pb2.QueueWeight(queue=f"{ATTACKER}-s{number}-{i}", weight=1) for i in range(QUEUES)
    ]
    request = queue_service_pb2.ClaimRequest(queues=queues, worker_id=f"{ATTACKER}-{number}", max_in_flight=1)
    code = "OPEN"
    stream = caller.queue.Claim(request, metadata=caller.metadata)
    try:
        async for _ in stream:
            if code == "OPEN":
                opened["OK"] = opened.get("OK", 0) + 1
                code = ""
    except grpc.aio.AioRpcError as error:
        if code == "OPEN":
            opened[error.code().name] = opened.get(error.code().name, 0) + 1
    finally:
        stream.cancel()


async def press(place: Place) -> None:
    """Opens as many as it is let, and tries the others again and again."""
    async with place.caller(place.worker) as caller:

        async def again(number: int) -> None:
            while True:
                await _hold(caller, number, {})
                await asyncio.sleep(5)

        await asyncio.gather(*(again(number) for number in range(100)))


async def measure(*, whole: bool) -> list[Figure]:
    streams = STREAMS if whole else 100
    async with stage() as on, on.place.caller(on.place.worker) as caller:
        before = on.rss_mib()
        opened: dict[str, int] = {}
        holding: list[asyncio.Task[None]] = []
        try:
            async with on.innocent() as felt:
                holding = [asyncio.create_task(_hold(caller, n, opened)) for n in range(streams)]
                async with asyncio.timeout(120):
                    while sum(opened.values()) < streams:  # noqa: ASYNC110 - polled
                        await asyncio.sleep(0.05)
                await asyncio.sleep(10 if whole else 1)
            held = on.rss_mib()
        finally:
            for task in holding:
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(*holding, return_exceptions=True)
        print(f"    {streams} streams of {QUEUES} new queues: {opened}", flush=True)
        other = sum(n for code, n in opened.items() if code not in {"OK", "RESOURCE_EXHAUSTED"})
        return [
            Figure(
                name="queues made by streams", value=opened.get("OK", 0) * QUEUES, most=1000, unit="queues"
            ),
            Figure(name="refusals that are not RESOURCE_EXHAUSTED", value=other, most=0, unit="calls"),
            Figure(name="memory while they are open", value=held - before, most=120, unit="MiB"),
            Figure(name="memory kept after them", value=await settled_mib(on) - before, most=60, unit="MiB"),
            *felt.figures("streams of new queues"),
        ]
