"""Calls all at once: honest ones, of which none may fail, and floods without a token beside an innocent tenant."""

import asyncio
from collections import Counter
from collections.abc import Awaitable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass

import grpc

from relay.v1 import queue_service_pb2 as pb
from relay_client import AsyncClient
from tests.attack.place import ATTACKER, Caller, Place
from tests.attack.stage import Stage, settled_mib, stage
from tests.support.credentials import bearer
from tests.support.figures import Figure
from tests.support.relay import new_id, spec
from tests.support.wire import ENQUEUE, Wire, wire

QUEUE = f"{ATTACKER}-burst"
FLOODERS = 4


@dataclass(slots=True)
class Answers:
    count: int = 0


async def flood(place: Place, token: str, answers: Answers) -> None:
    """As many calls as one connection carries, each begun anew when it is answered; until cancelled."""
    message = pb.EnqueueRequest(queue=QUEUE, job=spec(id=new_id())).SerializeToString()
    metadata = bearer(token) if token else ()
    while True:
        with suppress(OSError):
            async with wire(place.grpc, place.tls) as one:
                await _keep_full(one, metadata, message, answers)
        await asyncio.sleep(0.1)


async def _keep_full(
    one: Wire, metadata: tuple[tuple[str, str], ...], message: bytes, answers: Answers
) -> None:
    while not one.closed.is_set():
        while one.open_calls < min(one.streams_max, 1000) and not one.closed.is_set():
            one.open(ENQUEUE, metadata, message=message)
        await one.answered()
        answers.count += len(one.ended)
        one.ended.clear()


async def press(place: Place) -> None:
    await asyncio.gather(flood(place, "", Answers()), flood(place, "relay_00000000_x", Answers()))


async def _code(call: Awaitable[object]) -> str:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code().name
    return "OK"


async def _enqueue(caller: Caller, overloaded: Counter[str]) -> str:
    request = pb.EnqueueRequest(queue=QUEUE, job=spec(id=new_id()))
    while True:
        code = await _code(caller.queue.Enqueue(request, metadata=caller.metadata, timeout=60))
        if code != "RESOURCE_EXHAUSTED":
            return code
        overloaded[code] += 1
        await asyncio.sleep(1)


async def _burst(on: Stage, calls: int, connections: int) -> list[Figure]:
    """A producer's calls, as stubs make them that do what the protocol says."""
    async with AsyncExitStack() as stack:
        callers = [
            await stack.enter_async_context(on.place.caller(on.place.producer)) for _ in range(connections)
        ]
        again: Counter[str] = Counter()
        done = await asyncio.gather(*(_enqueue(callers[i % connections], again) for i in range(calls)))
    codes = Counter(done)
    print(
        f"    {calls} calls at once on {connections} connections: {dict(codes)}, repeated: {dict(again)}",
        flush=True,
    )
    name = f"{calls} honest calls at once on {connections} connections"
    return [Figure(name=f"{name}: failed", value=calls - codes["OK"], most=0, unit="calls")]


async def _sdk_burst(on: Stage, calls: int) -> list[Figure]:
    """The same through the SDK, each call with a client's own connection and its way to repeat."""
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(
                AsyncClient(on.place.grpc, token=on.place.producer, tls=True, ca_file=on.place.ca)
            )
            for _ in range(10)
        ]
        done = await asyncio.gather(
            *(clients[i % 10].enqueue(QUEUE, "burst", {"n": i}) for i in range(calls)), return_exceptions=True
        )
    failed = Counter(type(one).__name__ for one in done if isinstance(one, BaseException))
    print(f"    {calls} enqueues at once through the SDK: {dict(failed) or 'all OK'}", flush=True)
    return [
        Figure(
            name=f"{calls} enqueues at once through the SDK: failed",
            value=sum(failed.values()),
            most=0,
            unit="calls",
        )
    ]


async def _flooded(on: Stage, name: str, token: str, seconds: float) -> list[Figure]:
    before, answers = on.rss_mib(), Answers()
    async with on.innocent() as felt:
        floods = [asyncio.create_task(flood(on.place, token, answers)) for _ in range(FLOODERS)]
        await asyncio.sleep(seconds)
        for task in floods:
            task.cancel()
        await asyncio.wait(floods)
    print(f"    {name}: {answers.count / seconds:.0f} answered a second", flush=True)
    after = await settled_mib(on)
    return [
        *felt.figures(name),
        Figure(name=f"{name}: memory grown", value=after - before, most=100, unit="MiB"),
    ]


async def measure(*, whole: bool) -> list[Figure]:
    figures = []
    if whole:
        async with stage("--calls-max", "100") as on:
            figures += await _burst(on, 5000, 20)
    async with stage() as on:
        for calls, connections in ((2000, 1), (5000, 1), (5000, 20)) if whole else ((1500, 8),):
            figures += await _burst(on, calls, connections)
        figures += await _sdk_burst(on, 5000 if whole else 500)
        figures += await _flooded(on, "a flood without a token", "", 30 if whole else 3)
        if whole:
            figures += await _flooded(on, "a flood with a wrong token", "relay_00000000_x", 30)
        return figures
