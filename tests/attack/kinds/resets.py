"""Calls that are begun and taken back at once, without end: what a connection may carry at once does not bound them.

Some without a token, some with one.
"""

import asyncio
from contextlib import suppress

from relay.v1 import queue_service_pb2 as pb
from tests.attack.place import ATTACKER, Place
from tests.attack.stage import settled_mib, stage
from tests.support.credentials import bearer
from tests.support.figures import Figure
from tests.support.relay import new_id, spec
from tests.support.wire import ENQUEUE, wire

CONNECTIONS = 4


async def storm(place: Place, token: str, begun: list[int]) -> None:
    """On one connection, anew when the server hangs up; until cancelled."""
    request = pb.EnqueueRequest(queue=f"{ATTACKER}-resets", job=spec(id=new_id()))
    metadata = bearer(token) if token else ()
    while True:
        with suppress(OSError):
            async with wire(place.grpc, place.tls) as one:
                while not one.closed.is_set():
                    stream = one.open(ENQUEUE, metadata, message=request.SerializeToString())
                    await one.reset(stream)
                    one.ended.clear()
                    begun[0] += 1
                    await asyncio.sleep(0)
        await asyncio.sleep(0.1)


async def press(place: Place) -> None:
    tokens = [place.producer if n % 2 else "" for n in range(CONNECTIONS)]
    await asyncio.gather(*(storm(place, token, [0]) for token in tokens))


async def measure(*, whole: bool) -> list[Figure]:
    seconds = 30 if whole else 3
    async with stage() as on:
        before = on.rss_mib()
        async with on.innocent() as felt, on.pressed("resets"):
            await asyncio.sleep(seconds)
        after = await settled_mib(on)
        name = "calls that are begun and taken back"
        return [
            *felt.figures(name),
            Figure(name=f"{name}: memory grown", value=after - before, most=100, unit="MiB"),
            Figure(name=f"{name}: server ended", value=not on.alive, most=0, unit="times"),
        ]
