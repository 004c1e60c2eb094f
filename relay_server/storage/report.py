"""Holds what Relay knows about the Redis it runs on, as plain data."""

from dataclasses import dataclass
from enum import StrEnum

from relay_server.storage.urls import Topology


class Durability(StrEnum):
    """What an acknowledged enqueue survives."""

    ALWAYS = "always"  # power loss: the append-only file is synced before each reply
    EVERYSEC = "everysec"  # a killed process; power loss may take the last 1-2 s
    OS = "os"  # a killed process; power loss takes what the kernel had not written, up to ~30 s
    NONE = "none"  # nothing: there is no append-only file


class Trouble(StrEnum):
    """Why Redis does not take writes at the moment."""

    UNREACHABLE = "unreachable"
    LOADING = "loading"
    BUSY = "busy"
    READ_ONLY = "read_only"
    DISK = "disk"
    TOO_FEW_REPLICAS = "too_few_replicas"
    LOGIN = "login"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageReport:
    """Read at start-up and on request.

    Memory is in bytes; `maxmemory_bytes` 0 means no limit. `aof_last_write_ok` is None without an
    append-only file. `durability_known` is False when Redis would not tell how often it syncs and
    `durability` is the careful guess. `warnings` are whole sentences for people. `primaries` is how many
    servers take writes.
    """

    server_name: str  # "redis" or "valkey"
    server_version: str
    durability: Durability
    durability_known: bool
    maxmemory_bytes: int
    used_memory_bytes: int
    aof_last_write_ok: bool | None
    warnings: tuple[str, ...] = ()
    topology: Topology = Topology.SINGLE
    primaries: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Whether Redis takes writes now; `trouble` is None exactly when it does."""

    trouble: Trouble | None = None
    detail: str = ""

    @property
    def ok(self) -> bool:
        return self.trouble is None
