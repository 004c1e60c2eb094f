"""Connections over TLS that come and go, most without a token, while the certificate is renewed again and again."""

import asyncio
import contextlib
import ssl
from dataclasses import dataclass

import grpc

from relay.v1 import queue_service_pb2 as pb
from tests.attack.place import INNOCENT, Place
from tests.attack.stage import Stage, settled_mib, stage
from tests.support.figures import Figure
from tests.support.relay import spec
from tests.support.waiting import eventually

AT_ONCE = 8
# Of ten connections: some end before they begin a handshake, some in the middle of it, the rest after it.
_BARE, _HALF = 4, 3


@dataclass(slots=True)
class Storm:
    """What was done to a server so far."""

    connections: int = 0
    handshakes: int = 0
    visits: int = 0
    visits_failed: int = 0


async def _connect(place: Place, context: ssl.SSLContext, storm: Storm) -> None:
    host, _, port = place.grpc.rpartition(":")
    storm.connections += 1
    turn = storm.connections % 10
    with contextlib.suppress(OSError):
        if turn >= _BARE + _HALF:
            _, writer = await asyncio.open_connection(host, int(port), ssl=context)
            storm.handshakes += 1
        else:
            _, writer = await asyncio.open_connection(host, int(port))
            if turn >= _BARE:
                writer.write(_hello(context))
        writer.close()


def _hello(context: ssl.SSLContext) -> bytes:
    hello = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), hello, server_hostname="localhost").do_handshake()
    return hello.read()


def _contexts(place: Place) -> list[ssl.SSLContext]:
    """Of a client that the server lets in, and of one that shows no certificate."""
    contexts = [place.tls, ssl.create_default_context(cafile=place.ca)]
    for context in contexts:
        context.set_alpn_protocols(["h2"])
    return contexts


async def _blow(place: Place, storm: Storm, most: int) -> None:
    """Opens and closes up to `most` connections; ends early when the server is gone."""
    contexts = _contexts(place)

    async def one_by_one(n: int) -> None:
        while storm.connections < most:
            await _connect(place, contexts[n % len(contexts)], storm)

    await asyncio.gather(*(one_by_one(n) for n in range(AT_ONCE)))


async def _visit(place: Place, storm: Storm) -> None:
    """An honest client without a connection pool: connects, enqueues, closes, for ever."""
    while True:
        async with place.caller(place.innocent) as caller:
            storm.visits += 1
            request = pb.EnqueueRequest(queue=f"{INNOCENT}-visits", job=spec())
            try:
                await caller.queue.Enqueue(request, metadata=caller.metadata, timeout=20)
            except grpc.aio.AioRpcError:
                storm.visits_failed += 1


async def _renew(on: Stage, most: int, done: int = 0) -> int:
    """Replaces the server's certificate `most` times in all, each once the one before is in use; returns how often."""

    def taken() -> bool:
        return not on.alive or on.program.said().count('"certificate_reloaded"') > done

    while done < most and on.alive:
        on.ca.issue(on.folder, "server")
        await eventually(taken, within=30, what=f"renewal {done + 1}")
        done += on.alive
    return done


async def press(place: Place) -> None:
    while True:
        await _blow(place, Storm(), 10_000)


async def measure(*, whole: bool) -> list[Figure]:
    connections, renewals = (100_000, 100) if whole else (1000, 2)
    both = [_measure(connections, renewals, client_certificates=shown) for shown in (False, True)]
    found = [await one for one in both] if whole else await asyncio.gather(*both)
    return [figure for figures in found for figure in figures]


async def _measure(connections: int, renewals: int, *, client_certificates: bool) -> list[Figure]:
    during = f"handshakes {'with' if client_certificates else 'without'} client certificates"
    storm = Storm()
    async with stage(client_certificates=client_certificates) as on:
        async with on.innocent() as felt:
            around = [
                asyncio.create_task(_visit(on.place, storm)),
                asyncio.create_task(_blow(on.place, storm, 10**9)),
            ]
            done = await _renew(on, 1)
            before = on.rss_mib()  # the memory that the very first connections took stays
            done = await _renew(on, renewals, done)
            await eventually(
                lambda: not on.alive or storm.connections >= connections,
                within=3600,
                what="the last connection",
            )
            for task in around:
                task.cancel()
            await asyncio.wait(around)
        after = await settled_mib(on) if on.alive else 0
        print(
            f"    {during}: {storm}, {done} renewals, {before:.0f} MiB before, {after:.0f} after", flush=True
        )
        return [
            Figure(name=f"{during}: server ended", value=not on.alive, most=0, unit="times"),
            Figure(name=f"{during}: renewals missed", value=renewals - done, most=0, unit="renewals"),
            Figure(name=f"{during}: memory grown", value=after - before, most=30, unit="MiB"),
            Figure(
                name=f"{during}: honest visits that failed", value=storm.visits_failed, most=0, unit="visits"
            ),
            *felt.figures(during),
        ]
