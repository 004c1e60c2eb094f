"""A queue read past the servers: they may be down, and are not believed about themselves."""

import platform
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from redis.exceptions import RedisError

from relay_server import errors
from relay_server.engine import Operations, ScriptRunner, make_engine
from relay_server.model import QueueSnapshot
from relay_server.rpc.ids import uuid_text
from relay_server.words import State
from tests.support.engine import audit
from tests.support.fleet.units import RedisUnit, WorkerUnit
from tests.support.history import Final
from tests.support.redis_server import link_to
from tests.support.relay import eventually
from tests.support.stores import Store


@dataclass(slots=True)
class Settled:
    """A queue after the quiet period: what is left, and what the audit found."""

    stats: QueueSnapshot
    final: Final
    findings: list[str]
    seconds: float


class QueueView:
    """One queue, in the fleet's own Redis or in a `store` that is somebody else's."""

    def __init__(self, queue: str, redis: RedisUnit, store: Store | None) -> None:
        self.queue = queue
        self.redis = redis
        self.store = store

    @asynccontextmanager
    async def operations(self) -> AsyncIterator[Operations]:
        if self.store is not None:
            link = self.store.link()
            try:
                await link.router.refresh()
                yield make_engine(ScriptRunner(link), server_id="observer").operations
            finally:
                await link.router.aclose()
            return
        async with self.redis.client() as client:
            yield make_engine(ScriptRunner(link_to(client)), server_id="observer").operations

    async def stats(self, queue: str = "") -> QueueSnapshot:
        """Of the fleet's queue, or another."""
        async with self.operations() as ops:
            return await ops.stats(queue or self.queue)

    async def held_by(self, worker: WorkerUnit) -> frozenset[str]:
        """Jobs that are leased to this worker, wherever they are on the way to it."""
        async with self.operations() as ops:
            return await self._ids(ops, State.INFLIGHT, worker_id=f"{platform.node()}:{worker.pid}")

    async def acked(self) -> int:
        """Jobs done so far; -1 while Redis is away."""
        try:
            return (await self.stats()).counters.get("acked", 0)
        except (errors.RelayError, RedisError, OSError):
            return -1

    async def until_acked(self, n: int, *, within: float = 20.0) -> None:
        async def reached() -> bool:
            return await self.acked() >= n

        await eventually(reached, within=within, what=f"{n} acked jobs")

    async def until_more_acked(self, n: int = 50, *, within: float = 20.0) -> float:
        """Waits for so many further acks; returns the seconds it took."""
        began = time.monotonic()

        async def answer() -> bool:
            return await self.acked() >= 0

        await eventually(answer, within=within, what="Redis")
        await self.until_acked(await self.acked() + n, within=within)
        return time.monotonic() - began

    async def settle(self, *, within: float = 30.0) -> Settled:
        """Waits until nothing is waiting or running, then audits. After `within` s it returns what is left."""
        began = time.monotonic()
        with suppress(AssertionError):
            await eventually(self._drained, within=within, what="a drained queue")
        seconds = time.monotonic() - began
        async with self.operations() as ops:
            stats = await ops.stats(self.queue)
            held: dict[State, frozenset[str]] = {}
            for state in (State.READY, State.DELAYED, State.INFLIGHT, State.DEAD):
                held[state] = await self._ids(ops, state)
            findings = [f"{f.invariant} {f.detail}" for f in await audit(ops, self.queue)]
        live = held[State.READY] | held[State.DELAYED] | held[State.INFLIGHT]
        return Settled(stats, Final(live=live, dead=held[State.DEAD]), findings, seconds)

    async def _drained(self) -> bool:
        try:
            stats = await self.stats()
        except (errors.RelayError, RedisError, OSError):
            return False
        return stats.ready + stats.delayed + stats.inflight == 0

    async def _ids(self, ops: Operations, state: State, *, worker_id: str = "") -> frozenset[str]:
        ids: set[str] = set()
        cursor = None
        while True:
            page = await ops.list_jobs(self.queue, state, cursor=cursor, limit=500, previews=0)
            ids.update(
                uuid_text(job.id) for job in page.jobs if not worker_id or job.record.worker_id == worker_id
            )
            cursor = page.cursor
            if cursor is None:
                return frozenset(ids)
