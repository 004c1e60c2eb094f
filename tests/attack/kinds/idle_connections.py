"""Connections to the gRPC listener that say nothing: without TLS, after the handshake, and those that never read."""

import asyncio
import ssl
import struct
import time
from contextlib import suppress
from pathlib import Path

from tests.attack.place import Place
from tests.attack.stage import Stage, stage
from tests.support.figures import Figure
from tests.support.waiting import eventually
from tests.support.wire import PREFACE

HELD_S_MAX = 30.0
EACH = 300


class _Still(asyncio.Protocol):
    """Sends a beginning, and takes nothing after it."""

    def __init__(self, beginning: bytes) -> None:
        self._beginning = beginning

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(self._beginning)
        if self._beginning:
            transport.pause_reading()


async def _open(place: Place, tls: ssl.SSLContext | None, beginning: bytes) -> asyncio.BaseTransport | None:
    host, _, port = place.grpc.rpartition(":")
    with suppress(OSError, ssl.SSLError):
        loop = asyncio.get_running_loop()
        return (await loop.create_connection(lambda: _Still(beginning), host, int(port), ssl=tls))[0]
    return None


async def hold(place: Place, each: int, *, deaf: bool = True) -> list[asyncio.BaseTransport]:
    """So many connections of each kind."""
    tls = place.tls
    tls.set_alpn_protocols(["h2"])
    settings = PREFACE + b"\x00\x00\x00\x04\x00" + struct.pack(">I", 0)
    kinds = [(None, b""), (tls, b""), *([(tls, settings)] if deaf else [])]
    held = []
    for _ in range(each):
        held += await asyncio.gather(*(_open(place, *kind) for kind in kinds))
    return [one for one in held if one is not None]


async def press(place: Place) -> None:
    while True:
        for one in await hold(place, EACH):
            asyncio.get_running_loop().call_later(30, one.close)
        await asyncio.sleep(30)


def _sockets(on: Stage) -> int:
    return sum(1 for _ in Path(f"/proc/{on.place.server_pid}/fd").iterdir())


async def measure(*, whole: bool) -> list[Figure]:
    async with stage() as on:
        async with on.innocent() as felt:
            base = _sockets(on)
            held = await hold(on.place, EACH if whole else 50, deaf=whole)
            most, began = _sockets(on) - base, time.monotonic()
            with suppress(AssertionError):
                await eventually(lambda: _sockets(on) <= base, within=HELD_S_MAX)
            took, left = time.monotonic() - began, max(0, _sockets(on) - base)
        print(f"    {len(held)} opened, {most} held at once, {left} left after {took:.1f} s", flush=True)
        for one in held:
            one.close()
        return [
            Figure(name=f"connections held for {HELD_S_MAX:.0f} s", value=left, most=0, unit="connections"),
            *felt.figures("idle connections"),
        ]
