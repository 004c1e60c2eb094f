"""The composition root: the only place that knows what the server is made of and in which order it starts and stops."""

import asyncio
import os
import secrets
import signal
import socket
import time
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from relay.v1 import admin_service_pb2_grpc, dead_letter_service_pb2_grpc
from relay_server.config import Config
from relay_server.engine import Engine, Wakeups
from relay_server.engine.keys import server_channel
from relay_server.rpc.claim_stream import ClaimStreams
from relay_server.rpc.dispatcher import Dispatchers
from relay_server.rpc.queue_service import QueueService
from relay_server.rpc.registry import WorkerRegistry
from relay_server.rpc.server import GrpcServer
from relay_server.rpc.sessions import Sessions
from relay_server.rpc.windows import Windows
from relay_server.storage import Storage, StorageConfig, open_storage

_log = structlog.get_logger(__name__)

_HEALTH_EVERY_S = 1.0

Ready = Callable[[str], None]


async def run(config: Config, ready: Ready) -> None:
    """Serves until SIGTERM or SIGINT; a second signal ends the process at once. `ready` gets the line that says so."""
    stop = asyncio.Event()
    _on_signals(stop)
    storage_config = StorageConfig(redis_url=config.redis_url, data_dir=config.data_dir)
    async with await open_storage(storage_config) as storage:
        await Server(config, storage).run(stop, ready)


def _on_signals(stop: asyncio.Event) -> None:
    def stop_or_exit() -> None:
        if stop.is_set():
            os._exit(130)
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop_or_exit)


class Server:
    """A server on an opened storage. Everything it runs lives in one task group."""

    def __init__(self, config: Config, storage: Storage) -> None:
        self.config = config
        self.storage = storage
        self.server_id = f"{socket.gethostname()[:20]}-{os.getpid()}-{secrets.token_hex(3)}"
        self.engine = Engine(storage.client, server_id=self.server_id)
        self.wakeups = Wakeups(storage.listen)
        self.sessions = Sessions(self.server_id)
        self._group = asyncio.TaskGroup()
        self.dispatchers = Dispatchers(
            self.engine,
            self.wakeups,
            self.sessions,
            spawn=self._spawn,
            on_claimed=lambda queue, jobs: None,
        )
        self.registry = WorkerRegistry(self.engine.directory, self.server_id)
        self.streams = ClaimStreams(
            self.engine,
            self.sessions,
            self.dispatchers,
            self.registry,
            spawn=self._spawn,
            streams_max=config.streams_max,
            keep_alive_s=config.keep_alive_s,
            age_max_s=config.stream_age_max_s,
        )
        self.windows = Windows(
            self.server_id, self.sessions, self.dispatchers, self.engine.directory.tell_server
        )
        self.grpc = GrpcServer(
            QueueService(
                self.engine,
                self.streams,
                self.windows,
                payload_bytes_max=config.payload_bytes_max,
                on_acked=lambda queue, acked: None,
            ),
            dead_letter_service_pb2_grpc.DeadLetterServiceServicer(),
            admin_service_pb2_grpc.AdminServiceServicer(),
            observe=lambda method, code, seconds: None,
        )

    async def run(self, stop: asyncio.Event, ready: Ready) -> None:
        """Starts everything, waits for `stop`, and ends everything in the opposite order."""
        async with self._group:
            await self.engine.scripts.load()
            forever = [
                self._spawn(self.wakeups.run(), "wakeups"),
                self._spawn(self.registry.run(self.streams.connected), "registry"),
            ]
            self.wakeups.listen_channel(server_channel(self.server_id), self.windows.forwarded)
            port = self.grpc.bind(self.config.listen)
            await self.grpc.start()
            forever.append(self._spawn(self._watch_health(), "health"))
            ready(f"relay-server ready grpc={_bound(self.config.listen, port)} redis={self.storage.shown}")
            await stop.wait()
            await self._shut_down()
            for task in forever:
                task.cancel()

    async def _shut_down(self) -> None:
        started = time.monotonic()
        await self.grpc.set_serving(serving=False)
        await self.streams.drain()
        await self.dispatchers.stop()
        await self.grpc.stop(self.config.drain_grace_s)
        await self.registry.flush()
        _log.info("stopped", seconds=round(time.monotonic() - started, 3))

    async def _watch_health(self) -> None:
        """Readiness follows Redis; liveness does not."""
        serving: bool | None = None
        while True:
            health = await self.storage.health()
            if health.ok is not serving:
                serving = health.ok
                await self.grpc.set_serving(serving=serving)
                _log.info(
                    "serving" if serving else "not_serving", reason=health.trouble, detail=health.detail
                )
            await asyncio.sleep(_HEALTH_EVERY_S)

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> "asyncio.Task[None]":
        """Work that no call waits for. A failure is logged, and ends nothing else."""

        async def guarded() -> None:
            try:
                await work
            except Exception:  # noqa: BLE001 - logged, and no call waits for it
                _log.exception("background_failed", work=name)

        return self._group.create_task(guarded(), name=name)


def _bound(address: str, port: int) -> str:
    return address if address.startswith("unix:") else f"{address.rpartition(':')[0]}:{port}"
