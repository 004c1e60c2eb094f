"""Calls whose message never ends: without a token, with one, and to the health, which asks for none."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass

from tests.attack.place import Place
from tests.attack.stage import Stage, settled_mib, stage
from tests.support.credentials import bearer
from tests.support.figures import MIB, Figure
from tests.support.wire import ENQUEUE, HEALTH, Wire, prefix, wire

MESSAGE_BYTES = 4 << 20
PART_BYTES = 64 << 10


@dataclass(slots=True)
class Sent:
    bytes: int = 0


async def _call(one: Wire, method: str, token: str) -> None:
    stream = one.open(method, bearer(token) if token else ())
    part = prefix(MESSAGE_BYTES) + bytes(PART_BYTES - 5)
    for _ in range(MESSAGE_BYTES // PART_BYTES):
        await one.send(stream, part)
        part = bytes(PART_BYTES)


async def unfinished(place: Place, method: str, token: str, calls: int, sent: Sent) -> None:
    """`calls` calls on one connection, each with all of its message but the last byte; held until cancelled."""
    with suppress(OSError):
        async with wire(place.grpc, place.tls) as one:
            calling = []
            try:
                for _ in range(calls):
                    calling.append(asyncio.create_task(_call(one, method, token)))
                    await asyncio.sleep(0.001)  # a server hangs up on very many at once
                await one.closed.wait()
            finally:
                sent.bytes += one.sent_bytes
                for task in calling:
                    task.cancel()


async def press(place: Place) -> None:
    async def again(method: str, token: str) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(10):
                    await unfinished(place, method, token, 100, Sent())

    await asyncio.gather(again(ENQUEUE, ""), again(ENQUEUE, place.producer), again(HEALTH, ""))


async def _held(
    on: Stage, name: str, method: str, token: str, calls: int, *, seconds: float, most_mib: float
) -> list[Figure]:
    """What the server holds while the calls last, and what the innocent tenant feels of it."""
    before, most, sent = on.rss_mib(), 0.0, Sent()
    async with on.innocent() as felt:
        attack = asyncio.create_task(unfinished(on.place, method, token, calls, sent))
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while True:
                    most = max(most, on.rss_mib())
                    await asyncio.sleep(0.1)
        attack.cancel()
        await asyncio.wait({attack})
    print(
        f"    {name}: {sent.bytes / MIB:.0f} MiB sent, {before:.0f} MiB before, {most:.0f} held", flush=True
    )
    return [
        Figure(name=f"{name}: memory held by {calls} calls", value=most - before, most=most_mib, unit="MiB"),
        *felt.figures(name),
    ]


async def measure(*, whole: bool) -> list[Figure]:
    async with stage() as on:
        if not whole:
            return await _held(on, "no token", ENQUEUE, "", 80, seconds=2, most_mib=40)
        figures = []
        for name, method, token, most_mib in (
            ("no token", ENQUEUE, "", 60),
            ("a wrong token", ENQUEUE, "relay_00000000_x", 60),
            ("the health, no token", HEALTH, "", 120),
            ("a producer's token", ENQUEUE, on.place.producer, 200),
        ):
            figures += await _held(on, name, method, token, 600, seconds=10, most_mib=most_mib)
        after = await settled_mib(on)
        print(f"    {after:.0f} MiB after all", flush=True)
        return figures
