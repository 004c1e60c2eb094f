"""What goes wrong in a chaos run: one random fault after the other, each of which is over before the next."""

import asyncio
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

from redis.exceptions import RedisError

from relay_server.engine.lua_script import load_scripts
from tests.support.fleet import Fleet, ServerUnit, WorkerUnit, alive

_SHAS = {name: script.sha.encode() for name, script in load_scripts().items()}
_MUTATING = ("enqueue", "claim", "ack", "nack", "promote")  # what a run does all the time

Fault = Callable[[], Awaitable[str]]


@dataclass(slots=True)
class Nemesis:
    """Hurts a fleet as its seed says. `log` is what it did, with seconds since its start."""

    fleet: Fleet
    dice: random.Random
    log: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def faults(self) -> list[Fault]:
        """Those that this fleet can suffer."""
        found: list[Fault] = [
            self.kill_worker,
            self.freeze_worker,
            self.kill_server,
            self.freeze_server,
            self.restart_server,
            self.kill_redis,
            self.freeze_redis,
            self.cut_clients,
            self.cut_clients_at_byte,
            self.flush_scripts,
        ]
        if self.fleet.redis.proxy is not None:
            found += [self.cut_redis, self.lose_reply, self.lose_reply]
        return found

    async def run(self, seconds: float, *, every: tuple[float, float] = (2.0, 5.0)) -> None:
        """A fault every so often. Each kind comes before any comes again, in an order of the seed's."""
        began = time.monotonic()
        waiting: list[Fault] = []
        while time.monotonic() - began < seconds:
            if not waiting:
                waiting = self.faults()
                self.dice.shuffle(waiting)
            fault = waiting.pop()
            next_at = time.monotonic() + self.dice.uniform(*every)
            at = time.monotonic() - began
            what = await fault()
            self.counts[fault.__name__] += 1
            self.log.append(f"{at:5.1f} s  {what}")
            await asyncio.sleep(max(0.0, next_at - time.monotonic()))

    def _worker(self) -> WorkerUnit:
        return self.dice.choice(self.fleet.workers)

    def _server(self) -> ServerUnit:
        return self.dice.choice(self.fleet.servers)

    async def kill_worker(self) -> str:
        worker = self._worker()
        self.fleet.workers.remove(worker)
        await worker.kill()
        new = self.fleet.add_worker()
        return f"{worker.name} killed, {new.name} started"

    async def freeze_worker(self) -> str:
        worker, seconds = self._worker(), self.dice.uniform(1.0, 4.5)
        await self._frozen(worker.pid, seconds)
        return f"{worker.name} frozen for {seconds:.1f} s"

    async def kill_server(self) -> str:
        server, seconds = self._server(), self.dice.uniform(0.0, 1.0)
        await server.kill()
        await asyncio.sleep(seconds)
        await server.start()
        return f"server {server.address} killed, started after {seconds:.1f} s"

    async def freeze_server(self) -> str:
        server, seconds = self._server(), self.dice.uniform(0.5, 3.5)
        await self._frozen(server.process.pid, seconds)
        return f"server {server.address} frozen for {seconds:.1f} s"

    async def restart_server(self) -> str:
        server = self._server()
        code = await server.terminate()
        await server.start()
        return f"server {server.address} ended with {code} on SIGTERM, and started"

    async def kill_redis(self) -> str:
        seconds = self.dice.uniform(0.0, 1.5)
        await self.fleet.redis.kill()
        if not self.fleet.redis.embedded:
            await asyncio.sleep(seconds)
            await self.fleet.redis.start()
        return "Redis killed"

    async def freeze_redis(self) -> str:
        seconds = self.dice.uniform(0.5, 3.0)
        pid = await self._redis_pid()
        if pid is None:
            return "Redis was away"
        await self._frozen(pid, seconds)
        return f"Redis frozen for {seconds:.1f} s"

    async def cut_clients(self) -> str:
        server = self._server()
        assert server.proxy is not None
        return f"{server.proxy.cut()} connections to {server.address} cut"

    async def cut_clients_at_byte(self) -> str:
        server, n, replies = self._server(), self.dice.randrange(100, 20_000), self.dice.random() < 0.5
        assert server.proxy is not None
        server.proxy.cut_after(n, replies=replies)
        server.proxy.cut()
        await asyncio.sleep(1.0)
        server.proxy.cut_after(None, replies=replies)
        return (
            f"connections to {server.address} cut after {n} bytes of {'replies' if replies else 'requests'}"
        )

    async def cut_redis(self) -> str:
        assert self.fleet.redis.proxy is not None
        return f"{self.fleet.redis.proxy.cut()} connections to Redis cut"

    async def lose_reply(self) -> str:
        name = self.dice.choice(_MUTATING)
        assert self.fleet.redis.proxy is not None
        loss = self.fleet.redis.proxy.lose_reply(_SHAS[name])
        with suppress(TimeoutError):
            await asyncio.wait_for(loss.done.wait(), 1.0)
        self.fleet.redis.proxy.forget(loss)
        return f"a reply of {name} {'lost' if loss.done.is_set() else 'not lost: none came'}"

    async def flush_scripts(self) -> str:
        try:
            async with self.fleet.redis.client() as client:
                await client.script_flush()
        except (RedisError, OSError):
            return "Redis was away"
        return "scripts flushed"

    async def _redis_pid(self) -> int | None:
        try:
            return await self.fleet.redis.find_pid()
        except (RedisError, OSError):
            return None

    async def _frozen(self, pid: int, seconds: float) -> None:
        os.kill(pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            os.kill(pid, signal.SIGCONT)

    def check_alive(self) -> None:
        """Nothing ended that was not killed."""
        for worker in self.fleet.workers:
            assert alive(worker.process), f"{worker.name} ended by itself: {worker.log.read_text()[-2000:]}"
        for server in self.fleet.servers:
            assert alive(server.process), f"server {server.address} ended by itself"
