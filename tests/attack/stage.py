"""A server program with tokens and TLS on a store of its own, the innocent tenant beside it, and what they feel."""

import asyncio
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from relay.v1 import admin_service_pb2
from tests.attack.place import ATTACKER, INNOCENT, Place
from tests.support.credentials import Authority, TokensFile
from tests.support.figures import MIB, Figure, rss_bytes
from tests.support.relay import ServerProgram, server_program
from tests.support.waiting import eventually


def _stand_back() -> None:
    """Attackers stand for other machines: they have the processor when nobody else wants it, and no part of it.

    Linux gives each session its share first (autogroups), so they are one session with next to none. In a session with
    the usual share even the lowest priority makes the store, which is another session, wait: 0.25 s at a time.
    """
    os.setsid()
    os.nice(19)
    if sys.platform == "linux":
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        with contextlib.suppress(OSError):  # a system without autogroups has nothing to share out
            Path("/proc/self/autogroup").write_text("19")


@dataclass(slots=True)
class Felt:
    """What the innocent tenant's calls were like while it was watched."""

    ms: list[float] = field(default_factory=list)
    codes: dict[str, int] = field(default_factory=dict)
    acknowledged: list[str] = field(default_factory=list)

    def at(self, part: float) -> float:
        """The latency that `part` of the calls kept, in ms."""
        ordered = sorted(self.ms)
        return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else float("inf")

    @property
    def failed(self) -> int:
        return sum(n for code, n in self.codes.items() if code != "OK")

    def figures(self, during: str, *, p99_ms: float = 100.0) -> list[Figure]:
        """Failures are judged anywhere, times only by `make attack`."""
        p50 = statistics.median(self.ms) if self.ms else float("inf")
        print(
            f"    innocent during {during}: {len(self.ms)} calls, p50 {p50:.1f} ms, {self.codes}", flush=True
        )
        name = f"innocent tenant during {during}"
        return [
            Figure(name=f"{name}: calls that failed", value=self.failed, most=0, unit="calls"),
            Figure(name=f"{name}: p99", value=self.at(0.99), most=p99_ms, unit="ms", timed=True),
        ]


@dataclass(slots=True)
class Stage:
    """A running server and where it is. `tokens` and `ca` may be changed while it runs."""

    program: ServerProgram
    place: Place
    tokens: TokensFile
    ca: Authority
    folder: Path
    innocents: Felt = field(default_factory=Felt)

    def rss_mib(self) -> float:
        return rss_bytes(self.place.server_pid) / MIB

    @property
    def alive(self) -> bool:
        return self.program.process.poll() is None

    @asynccontextmanager
    async def innocent(self) -> AsyncIterator[Felt]:
        """The innocent tenant for one block. Its process has ended, and its calls are known, after it."""
        felt = Felt()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.attack.innocent", self.place.text()),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        reading = asyncio.create_task(_read(process.stdout, felt, self.innocents))
        try:
            await eventually(lambda: felt.ms, within=30, what="the innocent tenant's first call")
            felt.ms.clear()  # the first call also connects
            yield felt
        finally:
            process.kill()
            await process.wait()
            await reading

    @asynccontextmanager
    async def pressed(self, *kinds: str) -> AsyncIterator[None]:
        """These kinds of attack for one block, each in a process of its own."""
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.attack", "press", self.place.text(), *kinds],
            stdin=subprocess.DEVNULL,
            preexec_fn=_stand_back,
        )
        try:
            yield
            assert process.poll() is None, f"one of the attacks {kinds} ended: {process.returncode}"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    async def stored(self) -> int:
        """How many jobs the innocent tenant's queue holds."""
        async with self.place.caller(self.place.innocent) as caller:
            request = admin_service_pb2.StatsRequest(queue=f"{INNOCENT}-orders")
            (queue,) = (await caller.admin.Stats(request, metadata=caller.metadata)).queues
        return int(queue.ready)

    async def nothing_lost(self) -> list[Figure]:
        """Every job that the innocent tenant was told is stored is there; the rest had an unknown outcome."""
        lost = len(set(self.innocents.acknowledged)) - await self.stored()
        return [Figure(name="acknowledged jobs lost", value=max(0, lost), most=0, unit="jobs")]


async def _read(lines: asyncio.StreamReader, *felt: Felt) -> None:
    while line := await lines.readline():
        with contextlib.suppress(ValueError):  # the last one may be cut
            ms, code, job = json.loads(line)
            for one in felt:
                one.ms.append(ms)
                one.codes[code] = one.codes.get(code, 0) + 1
                if code == "OK":
                    one.acknowledged.append(job)


@asynccontextmanager
async def stage(
    *options: str, redis_url: str = "", client_certificates: bool = False
) -> AsyncIterator[Stage]:
    """A server on both listeners with TLS and tokens, on an embedded store of its own unless a URL is given."""
    with tempfile.TemporaryDirectory(prefix="relay-attack-", dir="/tmp") as name:
        folder = Path(name)
        ca, tokens = Authority(folder), TokensFile(folder / "tokens.toml")
        files = ca.issue(folder, "server")
        mine, theirs = f"{INNOCENT}-*", f"{ATTACKER}-*"
        given = {
            "innocent": tokens.add(INNOCENT, producer=mine, worker=mine, viewer=mine),
            "producer": tokens.add("mallory-producer", producer=theirs),
            "worker": tokens.add("mallory-worker", worker=theirs),
            "viewer": tokens.add("mallory-viewer", viewer=theirs),
            "operator": tokens.add("mallory-operator", operator=theirs),
        }
        store = ("--redis-url", redis_url) if redis_url else ("--data-dir", str(folder / "data"))
        guards = ["--tokens-file", str(tokens.path), "--http", "127.0.0.1:0"]
        if client_certificates:
            client_cert, client_key = ca.issue(folder, "client")
            given |= {"client_cert": str(client_cert), "client_key": str(client_key)}
            guards += ["--tls-client-ca", str(ca.file)]
        async with server_program(*store, *guards, *options, tls=files) as program:
            place = Place(
                grpc=f"localhost:{program.address.rpartition(':')[2]}",
                http=program.http_address,
                ca=str(ca.file),
                server_pid=program.process.pid,
                store=redis_url or f"unix://{folder / 'data' / 'redis' / 'redis.sock'}",
                **given,
            )
            yield Stage(program, place, tokens, ca, folder)


async def settled_mib(on: Stage, *, within: float = 120.0, still: float = 14.0) -> float:
    """The server's memory once it has not fallen for `still` seconds: what an attack leaves behind. The server gives
    back every few seconds, and sessions and connections that nobody ended go within a minute."""
    ends = time.monotonic() + within
    least, since = on.rss_mib(), time.monotonic()
    while time.monotonic() < min(ends, since + still):
        await asyncio.sleep(1)
        now = on.rss_mib()
        if now < least - 1:
            least, since = now, time.monotonic()
    return least
