"""A Redis of an attack's own, filled past the server, and what it says of the scripts that were run on it."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from relay_server.engine import Engine, ScriptRunner, make_engine
from relay_server.engine.record import plain_job
from relay_server.rpc.ids import mint_id
from relay_server.rpc.parse_job import enqueue_stamp
from tests.support.figures import Figure
from tests.support.redis_server import RedisServer, running_server
from tests.support.stores import binary_of

SCRIPT_MS_MAX = 5.0
_SLOWER_THAN_US = 500
_ENTRIES_MAX = 200_000


@dataclass(slots=True)
class Ran:
    """The scripts of one block: what Redis itself counted."""

    seconds: float = 0.0
    scripts: int = 0
    slowest_ms: float = 0.0
    p99_ms: float = 0.0
    bytes_out: int = 0
    _started: float = field(default_factory=time.monotonic)

    def figures(self, what: str, *, seconds_max: float) -> list[Figure]:
        print(
            f"    {what}: {self.seconds:.2f} s, {self.scripts} scripts, p99 {self.p99_ms:.2f} ms, "
            f"slowest {self.slowest_ms:.2f} ms, {self.bytes_out / 1e6:.2f} MB out",
            flush=True,
        )
        return [
            Figure(name=f"{what}: time", value=self.seconds, most=seconds_max, unit="s", timed=True),
            Figure(
                name=f"{what}: 99 of 100 scripts",
                value=self.p99_ms,
                most=SCRIPT_MS_MAX,
                unit="ms",
                timed=True,
            ),
        ]


class Watched:
    """A running Redis with an engine on it. `engine` and `ops` are the attack's own, past the server under attack."""

    def __init__(self, server: RedisServer, engine: Engine) -> None:
        self.url = server.url
        self.engine, self.ops = engine, engine.operations
        self._client = server.client()

    async def fill(
        self,
        queue: str,
        jobs: int,
        *,
        types: int = 10,
        body: bytes = b"",
        after: Callable[[], None] = lambda: None,
    ) -> None:
        """Jobs of type t0, t1, … in turn, 500 to a millisecond's batch."""
        stamp = body + enqueue_stamp()
        for done in range(0, jobs, 500):
            some = range(done, min(jobs, done + 500))
            await self.engine.transitions.enqueue(
                queue, [plain_job(mint_id(), f"t{n % types}", stamp) for n in some]
            )
            after()

    @asynccontextmanager
    async def ran(self) -> AsyncIterator[Ran]:
        """What the scripts of one block cost, by Redis' own SLOWLOG and counters."""
        await self._client.config_set("slowlog-max-len", _ENTRIES_MAX)
        await self._client.config_set("slowlog-log-slower-than", _SLOWER_THAN_US)
        await self._client.config_resetstat()
        await self._client.slowlog_reset()
        ran = Ran()
        yield ran
        ran.seconds = time.monotonic() - ran._started
        entries = await self._client.slowlog_get(_ENTRIES_MAX)
        slow_ms = sorted(
            (e["duration"] / 1000 for e in entries if e["command"].startswith(b"EVALSHA")), reverse=True
        )
        ran.scripts = (await self._client.info("commandstats")).get("cmdstat_evalsha", {}).get("calls", 0)
        ran.slowest_ms = max(slow_ms, default=0.0)
        ran.p99_ms = next(iter(slow_ms[ran.scripts // 100 :]), 0.0)  # the rest took less than is noted
        ran.bytes_out = (await self._client.info("stats"))["total_net_output_bytes"]

    async def aclose(self) -> None:
        await self._client.aclose()


@asynccontextmanager
async def watched(kind: str) -> AsyncIterator[Watched]:
    """A Redis or Valkey that keeps nothing on disk."""
    with running_server(binary_of(kind)) as server:
        link = server.link()
        await link.router.refresh()
        engine = make_engine(ScriptRunner(link), server_id="attack")
        await engine.scripts.load()
        store = Watched(server, engine)
        try:
            yield store
        finally:
            await store.aclose()
            await link.router.aclose()
