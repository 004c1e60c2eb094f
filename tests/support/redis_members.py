"""The servers that clusters and Sentinels are made of, on free loopback ports, ended by process id.

A topology has what the tests use of a RedisServer: a URL, a link for an engine, and a raw client for everything else.
"""

import os
import shutil
import signal
import socket
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import redis
from redis.asyncio import Redis

from relay_server.storage import StorageConfig
from relay_server.storage.link import Link
from relay_server.storage.store import make_router
from relay_server.storage.urls import read_url
from tests.support.redis_server import RedisServer, start_server

READY_WITHIN_S = 30
ACCOUNT = ("outside", "let-in")  # of a client that `cut_off` leaves alone


def free_ports(number: int) -> list[int]:
    """Ports of the loopback interface that nobody used a moment ago."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


@dataclass(slots=True, eq=False)
class Member:
    """One server of a topology. It comes back with its data at its old port."""

    binary: Path
    folder: Path
    port: int
    options: tuple[str, ...]
    config_file: Path | None = None
    tls: bool = False  # whether the port takes TLS, and nothing else
    server: RedisServer = field(init=False)

    def start(self) -> None:
        self.folder.mkdir(exist_ok=True)
        self.server = start_server(
            self.binary,
            *("--tls-port" if self.tls else "--port", str(self.port), "--bind", "127.0.0.1", *self.options),
            folder=self.folder,
            config_file=self.config_file,
        )

    def kill(self) -> None:
        self.server.kill()

    @property
    def alive(self) -> bool:
        return self.server.process.poll() is None

    def freeze(self) -> None:
        os.kill(self.server.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.server.pid, signal.SIGCONT)

    def cut_off(self) -> None:
        """A network that parted: only clients with ACCOUNT reach it, and neither replicas nor Sentinels do."""
        self._ask_from_outside("ACL", "SETUSER", "default", "off")
        for who in (("TYPE", "replica"), ("USER", "default")):
            self._ask_from_outside("CLIENT", "KILL", *who)

    def rejoin(self) -> None:
        self._ask_from_outside("ACL", "SETUSER", "default", "on")

    def _ask_from_outside(self, *words: Any) -> None:
        name, password = ACCOUNT
        with redis.Redis(unix_socket_path=self.server.socket, username=name, password=password) as client:
            client.execute_command(*words)

    @property
    def follows(self) -> bool:
        """Whether it has all that its primary has, and gets what is new."""
        return b"master_link_status:up" in self.ask("INFO", "replication")

    def raw_client(self) -> Redis:
        return self.server.raw_client()

    def ask(self, *words: Any) -> Any:
        """Any command, with the reply as it came."""
        with redis.Redis(unix_socket_path=self.server.socket, protocol=2) as client:
            client.response_callbacks.clear()
            return client.execute_command(*words)


class RawClients:
    """Sends a command past the engine: to the node of its key, or to all primaries when it has none."""

    _KEYLESS = frozenset({"FLUSHALL", "CONFIG", "SCRIPT", "INFO", "TIME", "PING", "ACL"})
    _FIRST_KEY: ClassVar = {"EVAL": 3, "MEMORY": 2}  # its place among the words; 1 for all others

    def __init__(self, nodes: Mapping[int, Redis], node_of: Callable[[bytes], Redis]) -> None:
        self.by_port = nodes
        self._node_of = node_of

    @property
    def nodes(self) -> list[Redis]:
        return list(self.by_port.values())

    async def execute_command(self, *words: Any) -> Any:
        if str(words[0]) in self._KEYLESS:
            replies = [await node.execute_command(*words) for node in self.nodes]  # type: ignore[no-untyped-call]
            return replies[0]
        first = words[self._FIRST_KEY.get(str(words[0]), 1)]
        key = first if isinstance(first, bytes) else str(first).encode()
        return await self._node_of(key).execute_command(*words)  # type: ignore[no-untyped-call]

    async def aclose(self) -> None:
        for node in self.nodes:
            await node.aclose()

    async def __aenter__(self) -> "RawClients":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


class Topology:
    """Servers that are one store: they live and end together."""

    folder: Path

    @property
    def url(self) -> str:
        raise NotImplementedError

    @property
    def members(self) -> list[Member]:
        raise NotImplementedError

    @property
    def alive(self) -> bool:
        return all(member.alive for member in self.members)

    def link(self) -> Link:
        return Link(make_router(read_url(self.url), StorageConfig()))

    def start(self, until_ready: Callable[[], None]) -> None:
        """Starts all members and waits; when that fails, none is left."""
        started: list[Member] = []
        try:
            for member in self.members:
                member.start()
                started.append(member)
            until_ready()
        except BaseException:
            for member in started:
                member.kill()
            shutil.rmtree(self.folder, ignore_errors=True)
            raise

    def kill(self) -> None:
        """The last first: nobody is left who would take over."""
        for member in reversed(self.members):
            member.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
