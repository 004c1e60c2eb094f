"""The processes of a fleet, each of which can be hurt: servers, workers and Redis."""

import asyncio
import json
import os
import signal
import subprocess
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from relay_conformance.proxy import Proxy
from relay_server.storage.binary import find_binary
from tests.support.redis_server import RedisServer, start_server
from tests.support.relay import ServerProgram, eventually, server_program


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

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Its log lines with this event."""
        assert self.program is not None
        lines = []
        for line in self.program.said().splitlines():
            with suppress(json.JSONDecodeError):
                entry = json.loads(line)
                if entry.get("event") == event:
                    lines.append(entry)
        return lines

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
