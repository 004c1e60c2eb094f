"""One producer that makes queues without end; and what many queues that nobody uses cost a server."""

import asyncio
import time
from pathlib import Path
from typing import Any

import grpc

from relay.v1 import admin_service_pb2, queue_service_pb2
from tests.attack.place import ATTACKER, Caller, Place
from tests.attack.stage import Stage, stage
from tests.support.figures import MIB, Figure
from tests.support.relay import spec

AT_ONCE = 32
QUEUES = 24_000
MESSAGE_BYTES_MAX = 4 * MIB


async def make_queues(caller: Caller, most: int, *, first: int = 0) -> tuple[int, dict[str, int]]:
    """One job into each of so many new queues with long names. How many were made, and how often each code came."""
    codes: dict[str, int] = {}
    numbers = iter(range(first, first + most))

    async def one_by_one() -> None:
        for number in numbers:
            queue = f"{ATTACKER}-{number:0123d}"
            request = queue_service_pb2.EnqueueRequest(queue=queue, job=spec())
            try:
                await caller.queue.Enqueue(request, metadata=caller.metadata, timeout=20)
                code = "OK"
            except grpc.aio.AioRpcError as error:
                code = error.code().name
            codes[code] = codes.get(code, 0) + 1

    await asyncio.gather(*(one_by_one() for _ in range(AT_ONCE)))
    return codes.get("OK", 0), codes


async def press(place: Place) -> None:
    """Goes on asking for new names after it is refused."""
    first = 0
    async with place.caller(place.producer) as caller:
        while True:
            await make_queues(caller, 200, first=first)
            first += 200
            await asyncio.sleep(0.5)


async def measure(*, whole: bool) -> list[Figure]:
    figures = await _until_refused(QUEUES if whole else 1500)
    return [*figures, *await _many_idle(10_000 if whole else 1000, seconds=10.0 if whole else 1.0)]


async def _until_refused(queues: int) -> list[Figure]:
    async with stage() as on, on.place.caller(on.place.producer) as caller:
        before = on.rss_mib()
        async with on.innocent() as felt:
            made, codes = await make_queues(caller, queues)
        print(f"    {queues} new names asked for: {codes}", flush=True)
        return [
            Figure(name="queues one producer made", value=made, most=1000, unit="queues"),
            Figure(
                name="refusals that are not RESOURCE_EXHAUSTED", value=_other(codes), most=0, unit="calls"
            ),
            Figure(name="memory grown by asking for names", value=on.rss_mib() - before, most=60, unit="MiB"),
            *felt.figures("a storm of new names"),
            *await on.nothing_lost(),
        ]


def _other(codes: dict[str, int]) -> int:
    return sum(n for code, n in codes.items() if code not in {"OK", "RESOURCE_EXHAUSTED"})


async def _many_idle(queues: int, *, seconds: float) -> list[Figure]:
    """The quota is open: what does the server do all day with so many queues that nobody uses?"""
    wide = ("--principal-queues-max", "0", "--queues-max", "0", "--queue-idle-forget-s", "0")
    async with stage(*wide) as on, on.place.caller(on.place.producer) as caller:
        made, _ = await make_queues(caller, queues)
        await _not_recent(on)
        store = _child_of(on.place.server_pid)
        cpu = _cpu_s(on.place.server_pid), _cpu_s(store)
        async with on.innocent() as felt:
            await asyncio.sleep(seconds)
        server, redis = _cpu_s(on.place.server_pid) - cpu[0], _cpu_s(store) - cpu[1]
        pages, largest = await _stats_pages(on)
        print(f"    {made} idle queues: {pages} pages of Stats", flush=True)
        during = f"{made} idle queues"
        return [
            Figure(
                name=f"{during}: server",
                value=server / seconds * 100,
                most=15,
                unit="% of a core",
                timed=True,
            ),
            Figure(
                name=f"{during}: store", value=redis / seconds * 100, most=10, unit="% of a core", timed=True
            ),
            Figure(
                name=f"{during}: largest page of Stats",
                value=largest,
                most=MESSAGE_BYTES_MAX // 4,
                unit="bytes",
            ),
            *felt.figures(during),
        ]


async def _not_recent(on: Stage) -> None:
    """As if nobody had used the queues for an hour: their last use is moved back in the store."""
    from redis.asyncio import Redis

    async with Redis.from_url(on.place.store) as client:
        entries: Any = await client.zrange("relay:queues", 0, -1, withscores=True)
        old: dict[Any, float] = {name: score - 3_600_000 for name, score in entries}
        for i in range(0, len(old), 1000):
            await client.zadd("relay:queues", dict(list(old.items())[i : i + 1000]))
    await asyncio.sleep(1)


def _child_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


async def _stats_pages(on: Stage) -> tuple[int, int]:
    """How many pages an operator of the attacker's queues reads, and the bytes of the largest."""
    pages, largest, token = 0, 0, ""
    async with on.place.caller(on.place.viewer) as caller:
        started = time.monotonic()
        while True:
            request = admin_service_pb2.StatsRequest(page_size=500, page_token=token)
            page = await caller.admin.Stats(request, metadata=caller.metadata, timeout=20)
            pages, largest, token = pages + 1, max(largest, page.ByteSize()), page.next_page_token
            if not token:
                print(f"    read in {time.monotonic() - started:.2f} s", flush=True)
                return pages, largest
