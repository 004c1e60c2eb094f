"""Connections over TLS that come and go: a handshake each, some with a call, none with a token."""

import asyncio
import contextlib
import ssl

from tests.attack.place import Place
from tests.attack.stage import settled_mib, stage
from tests.support.figures import Figure

AT_ONCE = 8


async def _connect(place: Place, context: ssl.SSLContext) -> None:
    host, _, port = place.grpc.rpartition(":")
    with contextlib.suppress(OSError):
        _, writer = await asyncio.open_connection(host, int(port), ssl=context)
        writer.close()


async def storm(place: Place, most: int) -> int:
    """Opens and closes up to `most` connections; returns how many, fewer when the server is gone."""
    context = place.tls
    context.set_alpn_protocols(["h2"])
    left = most

    async def one_by_one() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await _connect(place, context)

    await asyncio.gather(*(one_by_one() for _ in range(AT_ONCE)))
    return most


async def press(place: Place) -> None:
    while True:
        await storm(place, 10_000)


async def measure(*, whole: bool) -> list[Figure]:
    connections = 100_000 if whole else 1000
    async with stage() as on:
        before = on.rss_mib()
        async with on.innocent() as felt:
            await storm(on.place, connections)
        after = await settled_mib(on) if on.alive else 0
        return [
            Figure(
                name=f"server ended by {connections} connections", value=not on.alive, most=0, unit="times"
            ),
            Figure(name="memory grown", value=after - before, most=30, unit="MiB"),
            *felt.figures("a storm of handshakes"),
        ]
