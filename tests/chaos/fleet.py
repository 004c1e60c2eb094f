"""The processes of a run: Redis, servers, workers and producers, each of which can be hurt and comes back.

async with Fleet.start(servers=2, workers=3) as fleet:
    async with fleet.producing(rate=300): ...
    verdict = await fleet.judge()
"""

import asyncio
import json
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from relay_client import AsyncClient, JobSpec, RelayError, RetryPolicy
from relay_client.errors import StoreOutOfMemory
from relay_client.ids import new_id
from relay_conformance.proxy import Proxy, proxying
from relay_server import errors
from relay_server.engine import Engine, Operations
from relay_server.engine.operations import NO_PREVIEWS
from relay_server.model import QueueSnapshot, State
from relay_server.rpc.convert import uuid_text
from relay_server.storage.binary import find_binary
from tests.support.history import Final, Recorder, Verdict, check, read_history
from tests.support.redis_server import RedisServer, link_to, start_server
from tests.support.relay import ServerProgram, eventually, server_program
from tests.support.stores import Store

ROOT = Path(__file__).parents[2]
QUEUE = "chaos"
READY_WITHIN_S = 30.0


def alive(process: "subprocess.Popen[bytes]") -> bool:
    return process.poll() is None


@dataclass(slots=True, eq=False)
class ServerUnit:
    """A relay-server that keeps its address through restarts. Clients reach it through a proxy of its own."""

    options: tuple[str, ...]
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    program: ServerProgram | None = None
    proxy: Proxy | None = None
    address: str = ""

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        assert self.program is not None
        return self.program.process

    @property
    def target(self) -> str:
        """Where clients connect."""
        return self.proxy.address if self.proxy is not None else self.address

    async def start(self) -> None:
        """Starts it, again at the same address. A server just killed may hold its data folder for a moment."""
        options = (*self.options, "--listen", self.address or "127.0.0.1:0")
        await self.stack.aclose()
        self.program = await self.stack.enter_async_context(server_program(*options))
        self.address = self.program.address

    async def kill(self) -> None:
        self.process.kill()
        await eventually(lambda: not alive(self.process), what="the killed server's end")

    async def terminate(self) -> int:
        """SIGTERM; returns its exit code."""
        self.process.terminate()
        assert self.program is not None
        return await self.program.exit_code(within=30)


@dataclass(slots=True, eq=False)
class WorkerUnit:
    """A relay-worker program with the recording handlers."""

    process: "subprocess.Popen[bytes]"
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def name(self) -> str:
        """As its history calls it."""
        return f"worker-{self.pid}"

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    async def kill(self) -> None:
        self.process.kill()
        await eventually(lambda: not alive(self.process), what="the killed worker's end")

    async def stop(self) -> int:
        """SIGTERM; returns its exit code."""
        self.process.terminate()
        await eventually(lambda: not alive(self.process), within=30, what="the worker's drain")
        return int(self.process.returncode)


class RedisUnit:
    """An external Redis that keeps its data through kills, behind a proxy; or the one a server embeds."""

    def __init__(self, folder: Path, *, embedded: bool) -> None:
        self.folder = folder
        self.embedded = embedded
        self.binary = find_binary()
        self.server: RedisServer | None = None
        self.proxy: Proxy | None = None

    @property
    def socket(self) -> str:
        return str(self.folder / "redis" / "redis.sock" if self.embedded else self.folder / "s")

    def client(self) -> Redis:
        return Redis(unix_socket_path=self.socket, protocol=2, retry=Retry(NoBackoff(), 0))

    async def start(self, *options: str) -> None:
        """Starts the external server on what is in the folder."""
        self.folder.mkdir(exist_ok=True)
        self.server = await asyncio.to_thread(
            lambda: start_server(
                self.binary,
                *("--appendonly", "yes", "--appendfsync", "always", *options),
                folder=self.folder,
            )
        )

    async def kill(self) -> None:
        """SIGKILL. Its server restarts an embedded one; an external one stays away until `start`."""
        if self.server is not None:
            await asyncio.to_thread(self.server.kill)
        else:
            os.kill(await self.find_pid(), signal.SIGKILL)

    async def find_pid(self) -> int:
        async with self.client() as client:
            return int((await client.info("server"))["process_id"])


class Producer:
    """Enqueues jobs through the SDK and records what it was told. `make` gives each job's type, payload and options."""

    def __init__(
        self,
        target: str,
        recorder: Recorder,
        make: Callable[[int], dict[str, Any]],
        *,
        queue: str = QUEUE,
        timeout_s: float = 20.0,
    ) -> None:
        self.client = AsyncClient(target, timeout=f"{timeout_s:g}s")
        self.recorder = recorder
        self.make = make
        self.queue = queue
        self.sent = 0
        self.acknowledged = 0
        self.failures: list[RelayError] = []
        self.slowest_s = 0.0

    async def send(self, jobs: int) -> None:
        """One call for so many jobs. Whatever the SDK raises is recorded, not raised."""
        specs = [JobSpec(job_id=new_id(), **self.make(self.sent + i)) for i in range(jobs)]
        self.sent += jobs
        n = self.recorder.invoke(
            "enqueue", [(spec.job_id or "", spec.idempotency_key or "") for spec in specs]
        )
        began = time.monotonic()
        results = await self.client.enqueue_many(self.queue, specs)
        self.slowest_s = max(self.slowest_s, time.monotonic() - began)
        refused = [result for result in results if isinstance(result, RelayError)]
        self.failures += refused
        self.acknowledged += len(results) - len(refused)
        if not refused:
            self.recorder.returned(n, "ok", [r.id for r in results if not isinstance(r, RelayError)])
        elif len(refused) == len(specs) and all(isinstance(r, StoreOutOfMemory) for r in refused):
            self.recorder.returned(n, "fail")
        else:
            self.recorder.returned(n, "unknown")  # of some of them we know more; the history need not

    async def close(self) -> None:
        await self.client.close()
        self.recorder.close()


def small_jobs(n: int) -> dict[str, Any]:
    """Mostly quick work; every seventh job fails once, every fiftieth is delayed, some have an idempotency key."""
    payload = {"ms": random.choice((0, 1, 2, 5)), "fail": 1 if n % 7 == 3 else 0}
    return {
        "type": "work",
        "payload": payload,
        "retry": RetryPolicy(max_attempts=50, initial_backoff="50ms", max_backoff="500ms"),
        "delay": "300ms" if n % 50 == 11 else None,
        "idempotency_key": f"key-{n}" if n % 5 == 2 else None,
        "priority": n % 3 - 1,
    }


@dataclass(slots=True)
class Settled:
    """A queue after the quiet period: what is left, and what the audit found."""

    stats: QueueSnapshot
    final: Final
    findings: list[str]
    seconds: float


class Fleet:
    """Everything of one run. `folder` holds the history, the logs and Redis' data."""

    def __init__(self, folder: Path, *, embedded: bool, lease: str, concurrency: int, queue: str) -> None:
        self.folder = folder
        self.store: Store | None = None
        self.history = folder / "history"
        self.redis = RedisUnit(folder / "data", embedded=embedded)
        self.servers: list[ServerUnit] = []
        self.workers: list[WorkerUnit] = []
        self.producers: list[Producer] = []
        self.queue = queue
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
        fleet = cls(home, embedded=embedded, lease=lease, concurrency=concurrency, queue=queue)
        fleet.history.mkdir(parents=True, exist_ok=True)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(fleet._end, remove=folder is None)
            where = ("--data-dir", str(fleet.redis.folder))
            if store is not None:
                fleet.store = store
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
        """All servers, as clients are told."""
        return ",".join(server.target for server in self.servers)

    def add_worker(self, *, concurrency: int | None = None) -> WorkerUnit:
        """Starts one more; it connects by itself."""
        self._started += 1
        log = self.folder / f"worker-{self._started}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [
                    *(
                        sys.executable,
                        "-m",
                        "relay_worker.cli",
                        "tests.chaos.jobs:jobs",
                        "--queue",
                        self.queue,
                    ),
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
        """A producer at work during the block; the call under way at its end is seen to its end."""
        producer = self.producer(make)
        stop = asyncio.Event()

        async def run() -> None:
            loop = asyncio.get_running_loop()
            due = loop.time()
            while not stop.is_set():
                await producer.send(batch)
                due = max(
                    due + batch / rate, loop.time() - 1.0
                )  # after a stall it does not catch up without end
                with suppress(TimeoutError):
                    async with asyncio.timeout(max(0.0, due - loop.time())):
                        await stop.wait()

        task = asyncio.create_task(run())
        try:
            yield producer
        finally:
            stop.set()
            await task

    # --- looking, past the servers

    @asynccontextmanager
    async def operations(self) -> AsyncIterator[Operations]:
        if self.store is not None:
            link = self.store.link()
            try:
                await link.router.refresh()
                yield Operations(Engine(link, server_id="observer"))
            finally:
                await link.router.aclose()
            return
        async with self.redis.client() as client:
            yield Operations(Engine(link_to(client), server_id="observer"))

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
        """Waits until nothing is waiting or running, then audits. What is left after `within` s is told, not raised."""
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
            page = await ops.list_jobs(self.queue, state, cursor=cursor, limit=500, previews=NO_PREVIEWS)
            ids.update(
                uuid_text(job.id) for job in page.jobs if not worker_id or job.record.worker_id == worker_id
            )
            cursor = page.cursor
            if cursor is None:
                return frozenset(ids)

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


async def audit(ops: Operations, queue: str) -> list[Any]:
    """All findings of the audit."""
    findings: list[Any] = []
    page = await ops.audit(queue)
    findings += page.findings
    while page.cursor is not None:
        page = await ops.audit(queue, page.cursor)
        findings += page.findings
    return findings


def completions(folder: Path) -> list[tuple[str, int, str]]:
    """(job, epoch, worker) of every handler that finished, from the workers' append-only files."""
    return [(run.job, run.epoch, run.client) for run in read_history(folder).runs if run.finished]


def server_said(unit: ServerUnit, event: str) -> list[dict[str, Any]]:
    """The server's log lines with this event."""
    assert unit.program is not None
    lines = []
    for line in unit.program.said().splitlines():
        with suppress(json.JSONDecodeError):
            said = json.loads(line)
            if said.get("event") == event:
                lines.append(said)
    return lines
