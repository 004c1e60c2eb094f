"""SIGTERM to a server with thousands of Claim streams: each is told to drain, and what was not sent goes back."""

import asyncio
import time
from collections import Counter

import grpc

from relay.v1 import queue_service_pb2 as pb
from tests.attack.place import ATTACKER, Caller
from tests.attack.stage import stage
from tests.support.figures import Figure
from tests.support.waiting import eventually

PER_CONNECTION = 200


async def _stream(caller: Caller, number: int, opened: set[int]) -> str:
    """The last frame of a stream, and how it ended."""
    request = pb.ClaimRequest(
        queues=[pb.QueueWeight(queue=f"{ATTACKER}-{number % 20}")], worker_id=f"w{number}", max_in_flight=1
    )
    call, last = caller.queue.Claim(request, metadata=caller.metadata), ""
    try:
        async for frame in call:
            last = frame.WhichOneof("frame") or ""
            opened.add(number)
    except grpc.aio.AioRpcError as error:
        return f"{last}, then {error.code().name}"
    return last


async def measure(*, whole: bool) -> list[Figure]:
    streams = 3000 if whole else 300
    async with stage("--principal-streams-max", str(streams)) as on:
        opened: set[int] = set()
        callers = [on.place.caller(on.place.worker) for _ in range(-(-streams // PER_CONNECTION))]
        entered = [await one.__aenter__() for one in callers]
        tasks = [
            asyncio.create_task(_stream(entered[i // PER_CONNECTION], i, opened)) for i in range(streams)
        ]
        await eventually(lambda: len(opened) == streams, within=120, what="all streams")
        started = time.monotonic()
        on.program.terminate()
        ends = Counter(await asyncio.gather(*tasks))
        took = time.monotonic() - started
        code = await on.program.exit_code(within=30)
        for one in callers:
            await one.__aexit__(None, None, None)
        print(f"    {streams} streams ended in {took:.1f} s: {dict(ends)}", flush=True)
        return [
            Figure(
                name=f"streams of {streams} not told to drain",
                value=streams - ends["drain"],
                most=0,
                unit="streams",
            ),
            Figure(name="exit code", value=code, most=0, unit=""),
            Figure(name="seconds to the last end", value=took, most=10, unit="s", timed=True),
        ]
