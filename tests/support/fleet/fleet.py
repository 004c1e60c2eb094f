"""The fleet: servers, workers and producers around one Redis, and the verdict on what they did."""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from relay_conformance.proxy import proxying
from tests.support.fleet.producer import QUEUE, Producer, small_jobs
from tests.support.fleet.queue_view import QueueView, Settled
from tests.support.fleet.units import RedisUnit, ServerUnit, WorkerUnit, alive
from tests.support.history import Recorder, Verdict, check, read_history
from tests.support.relay import eventually
from tests.support.stores import Store

ROOT = Path(__file__).parents[3]
HANDLERS = "tests.support.fleet.jobs:jobs"
READY_WITHIN_S = 30.0


class Fleet(QueueView):
    """Everything of one run. `folder` holds the history, the logs and Redis' data."""

    def __init__(
        self,
        folder: Path,
        *,
        embedded: bool,
        lease: str,
        concurrency: int,
        queue: str,
        store: Store | None,
    ) -> None:
        super().__init__(queue, RedisUnit(folder / "data", embedded=embedded), store)
        self.folder = folder
        self.history = folder / "history"
        self.servers: list[ServerUnit] = []
        self.workers: list[WorkerUnit] = []
        self.producers: list[Producer] = []
        self.lease = lease
        self.concurrency = concurrency
        self._started = 0

    @classmethod
    @asynccontextmanager
    async def start(
        cls,
        *,
        folder: Path | None = None,
        servers: int = 1,
        workers: int = 2,
        embedded: bool = True,
        proxies: bool = False,
        lease: str = "3s",
        concurrency: int = 16,
        queue: str = QUEUE,
        server_options: tuple[str, ...] = (),
        store: Store | None = None,
        store_options: str = "",
    ) -> AsyncIterator["Fleet"]:
        """A running fleet with connected workers. Everything ends with the block; a given folder is kept.

        A `store` is somebody else's to hurt and to end; `store_options` go to the end of its URL.
        """
        assert servers == 1 or not embedded or store, "an embedded Redis has one server"
        home = folder or Path(tempfile.mkdtemp(prefix="relay-fleet-", dir="/tmp"))
        fleet = cls(home, embedded=embedded, lease=lease, concurrency=concurrency, queue=queue, store=store)
        fleet.history.mkdir(parents=True, exist_ok=True)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(fleet._end, remove=folder is None)
            where = ("--data-dir", str(fleet.redis.folder))
            if store is not None:
                where = ("--redis-url", store.url + store_options)
            elif not embedded:
                await fleet.redis.start()
                fleet.redis.proxy = await stack.enter_async_context(proxying(fleet.redis.socket))
                where = ("--redis-url", f"redis://{fleet.redis.proxy.address}")
            for _ in range(servers):
                fleet.servers.append(ServerUnit((*where, "--keep-alive-s", "1", *server_options)))
            await asyncio.gather(*(server.start() for server in fleet.servers))
            for server in fleet.servers if proxies else []:
                host, _, port = server.address.rpartition(":")
                server.proxy = await stack.enter_async_context(proxying((host, int(port))))
            for _ in range(workers):
                fleet.add_worker()
            await eventually(fleet._connected, within=READY_WITHIN_S, what="connected workers")
            yield fleet

    @property
    def targets(self) -> str:
        """The addresses of all servers, for clients."""
        return ",".join(server.target for server in self.servers)

    def add_worker(self, *, concurrency: int | None = None) -> WorkerUnit:
        """Starts one more; it connects by itself."""
        self._started += 1
        log = self.folder / f"worker-{self._started}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "relay_worker.cli", HANDLERS, "--queue", self.queue),
                    *("--server", self.targets, "--lease", self.lease, "--grace", "10s"),
                    *("--concurrency", str(concurrency or self.concurrency), "--log-format", "json"),
                ],
                cwd=ROOT,
                env={**os.environ, "RELAY_TEST_HISTORY": str(self.history)},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        worker = WorkerUnit(process, log)
        self.workers.append(worker)
        return worker

    def _connected(self) -> bool:
        for worker in self.workers:
            assert alive(worker.process), worker.log.read_text()
        return all("stream open" in worker.log.read_text() for worker in self.workers)

    def producer(self, make: Callable[[int], dict[str, Any]] = small_jobs, **options: Any) -> Producer:
        """A producer on all servers, closed with the fleet."""
        recorder = Recorder(self.history, f"producer-{len(self.producers) + 1}")
        producer = Producer(self.targets, recorder, make, queue=self.queue, **options)
        self.producers.append(producer)
        return producer

    @asynccontextmanager
    async def producing(
        self, make: Callable[[int], dict[str, Any]] = small_jobs, *, rate: float = 200.0, batch: int = 10
    ) -> AsyncIterator[Producer]:
        """A producer at work during the block. Its last call ends before the block is left."""
        producer = self.producer(make)
        stop = asyncio.Event()

        async def run() -> None:
            loop = asyncio.get_running_loop()
            due = loop.time()
            while not stop.is_set():
                await producer.send(batch)
                # After a stall it does not catch up without end.
                due = max(due + batch / rate, loop.time() - 1.0)
                with suppress(TimeoutError):
                    async with asyncio.timeout(max(0.0, due - loop.time())):
                        await stop.wait()

        task = asyncio.create_task(run())
        try:
            yield producer
        finally:
            stop.set()
            await task

    async def judge(self, *, within: float = 30.0) -> tuple[Verdict, Settled]:
        """After the faults: drain, audit, and the verdict on the history."""
        settled = await self.settle(within=within)
        for producer in self.producers:
            await producer.close()
        self.producers = []
        return check(read_history(self.history), settled.final), settled

    async def _end(self, *, remove: bool) -> None:
        for producer in self.producers:
            await producer.close()
        processes = [worker.process for worker in self.workers]
        processes += [server.process for server in self.servers if server.program is not None]
        for process in processes:
            if alive(process):
                process.kill()
                process.wait()
        for server in self.servers:
            await server.stack.aclose()
        if self.redis.server is not None:
            await asyncio.to_thread(self.redis.server.kill)
        if remove:
            shutil.rmtree(self.folder, ignore_errors=True)


def completions(folder: Path) -> list[tuple[str, int, str]]:
    """(job, epoch, worker) of every handler that finished, from the workers' append-only files."""
    return [(run.job, run.epoch, run.client) for run in read_history(folder).runs if run.finished]
