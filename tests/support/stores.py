"""The kinds of Redis that a suite may run on, by name: one server, a cluster of three primaries, or Sentinels."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from relay_server.storage.link import Link
from tests.support.redis_binaries import redis7, valkey9
from tests.support.redis_cluster import start_cluster
from tests.support.redis_sentinel import start_sentinel
from tests.support.redis_server import start_server

BINARIES: dict[str, Callable[[], Path]] = {"redis7": redis7, "valkey9": valkey9}


class Raw(Protocol):
    """Sends commands past the engine; replies are as the server sent them."""

    async def execute_command(self, *words: Any) -> Any: ...
    async def aclose(self) -> None: ...


class Store(Protocol):
    """A running Redis of any kind."""

    @property
    def folder(self) -> Path: ...
    @property
    def url(self) -> str: ...
    @property
    def alive(self) -> bool: ...
    def link(self) -> Link:
        """For an engine. The caller refreshes and closes its router."""
        ...

    def raw_client(self) -> Any: ...
    def socket_of(self, key: bytes) -> str:
        """The unix socket of the server that owns a key or channel."""
        ...

    def kill(self) -> None: ...


def binary_of(kind: str) -> Path:
    """Of redis7, cluster-redis7 and so on."""
    return BINARIES[kind.rpartition("-")[2]]()


def start_store(kind: str) -> Store:
    match kind.rpartition("-")[0]:
        case "cluster":
            return start_cluster(binary_of(kind))
        case "sentinel":
            return start_sentinel(binary_of(kind))
    return start_server(binary_of(kind))


SINGLE = tuple(BINARIES)
TOPOLOGIES = tuple(f"{shape}-{binary}" for shape in ("cluster", "sentinel") for binary in BINARIES)
