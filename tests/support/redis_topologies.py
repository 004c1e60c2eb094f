"""Starts real clusters and Sentinels for tests, on free loopback ports, and ends them by process id.

Both have what the tests use of a RedisServer: a URL, a link for an engine, and a raw client for everything else.
"""

import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import redis
from redis.asyncio import Redis
from redis.crc import key_slot

from relay_server.storage import StorageConfig
from relay_server.storage.link import Link
from relay_server.storage.store import make_router
from relay_server.storage.urls import read_url
from tests.support.redis_server import RedisServer, start_server
from tests.support.waiting import until

_READY_WITHIN_S = 30
SLOTS = 16384
SERVICE = "jobs"
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

    def ask(self, *words: Any) -> Any:
        """Any command, with the reply as it came."""
        with redis.Redis(unix_socket_path=self.server.socket, protocol=2) as client:
            client.response_callbacks.clear()
            return client.execute_command(*words)


class RawClients:
    """Sends a command past the engine: to the node of its key, or to all primaries when it has none."""

    _KEYLESS = frozenset({"FLUSHALL", "CONFIG", "SCRIPT", "INFO", "TIME", "PING", "ACL"})

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
        key = words[1] if isinstance(words[1], bytes) else str(words[1]).encode()
        return await self._node_of(key).execute_command(*words)  # type: ignore[no-untyped-call]

    async def aclose(self) -> None:
        for node in self.nodes:
            await node.aclose()

    async def __aenter__(self) -> "RawClients":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def _raw(member: Member) -> Redis:
    return member.server.raw_client()


@dataclass(slots=True, eq=False)
class RedisCluster:
    """Primaries with their replicas. `owner` is kept by those who move slots."""

    folder: Path
    primaries: list[Member]
    replicas: list[Member]

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"127.0.0.1:{member.port}" for member in self.primaries)

    @property
    def members(self) -> list[Member]:
        return [*self.primaries, *self.replicas]

    @property
    def alive(self) -> bool:
        return all(member.alive for member in self.members)

    def link(self) -> Link:
        return Link(make_router(read_url(self.url), StorageConfig()))

    def raw_client(self) -> RawClients:
        clients = {member.port: _raw(member) for member in self.primaries}
        return RawClients(clients, lambda key: clients[self.primary_of(key).port])

    def primary_of(self, key: bytes) -> Member:
        """As long as slots stay where they were at the start."""
        return self.primaries[min(key_slot(key) * len(self.primaries) // SLOTS, len(self.primaries) - 1)]

    def owner(self, key: bytes) -> Member:
        """Who has the key now, as the first member that lives and knows says."""
        slot, by_port = key_slot(key), {member.port: member for member in self.members}
        for member in self.members:
            if member.alive:
                for first, last, node, *_ in member.ask("CLUSTER", "SLOTS"):
                    if first <= slot <= last:
                        return by_port[int(node[1])]
        raise AssertionError(f"nobody has slot {slot}")

    def socket_of(self, key: bytes) -> str:
        return self.primary_of(key).server.socket

    def kill(self) -> None:
        for member in self.members:
            member.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def _range(i: int, n: int) -> tuple[int, int]:
    """The slots of primary i of n: what `primary_of` computes."""
    first = -(-i * SLOTS // n)
    return first, -(-(i + 1) * SLOTS // n) - 1


def start_cluster(
    binary: Path,
    *options: str,
    primaries: int = 3,
    replicas: int = 0,
    node_timeout_ms: int = 2000,
    tls: bool = False,
) -> RedisCluster:
    """A cluster that answers for all slots; `replicas` for each primary."""
    folder = Path(tempfile.mkdtemp(prefix="relay-cluster-", dir="/tmp"))
    total = primaries * (1 + replicas)
    free = free_ports(2 * total)
    ports, buses = free[:total], free[total:]
    members = [
        Member(
            binary,
            folder / str(i),
            ports[i],
            (
                *("--cluster-enabled", "yes", "--cluster-port", str(buses[i])),
                *("--cluster-node-timeout", str(node_timeout_ms), "--repl-diskless-sync-delay", "0"),
                *options,
            ),
            tls=tls,
        )
        for i in range(total)
    ]
    cluster = RedisCluster(folder, members[:primaries], members[primaries:])
    started: list[Member] = []
    try:
        for member in members:
            member.start()
            started.append(member)
        _join(cluster, buses)
    except BaseException:
        for member in started:
            member.kill()
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return cluster


def _join(cluster: RedisCluster, buses: list[int]) -> None:
    first, n = cluster.primaries[0], len(cluster.primaries)
    for i, member in enumerate(cluster.primaries):
        member.ask("CLUSTER", "SET-CONFIG-EPOCH", i + 1)
        member.ask("CLUSTER", "ADDSLOTSRANGE", *_range(i, n))
    for member in cluster.members[1:]:
        member.ask("CLUSTER", "MEET", "127.0.0.1", first.port, buses[0])
    known = len(cluster.members)
    until(
        lambda: all(_nodes_known(m) == known for m in cluster.members),
        _READY_WITHIN_S,
        what="a joined cluster",
    )
    for i, replica in enumerate(cluster.replicas):
        node_id = cluster.primaries[i % n].ask("CLUSTER", "MYID")
        until(partial(_replicate, replica, node_id), _READY_WITHIN_S, what="a known primary")
    until(lambda: all(_serves(m, n) for m in cluster.members), _READY_WITHIN_S, what="a cluster that serves")
    if cluster.replicas:
        until(lambda: all(_link_up(m) for m in cluster.replicas), _READY_WITHIN_S, what="synced replicas")


def _nodes_known(member: Member) -> int:
    return len(member.ask("CLUSTER", "NODES").decode().splitlines())


def _replicate(replica: Member, node_id: bytes) -> bool:
    try:
        replica.ask("CLUSTER", "REPLICATE", node_id)
    except redis.ResponseError:  # it has not heard of that one yet
        return False
    return True


def _serves(member: Member, size: int) -> bool:
    said = member.ask("CLUSTER", "INFO").decode()
    slots = member.ask("CLUSTER", "SLOTS")
    replicas = min(len(nodes) for _, _, *nodes in slots) - 1 if slots else 0
    return (
        "cluster_state:ok" in said
        and f"cluster_size:{size}" in said
        and len(slots) == size
        and len(slots) * (1 + replicas) == len(member.ask("CLUSTER", "NODES").decode().splitlines())
    )


def _link_up(member: Member) -> bool:
    return b"master_link_status:up" in member.ask("INFO", "replication")


@dataclass(slots=True, eq=False)
class RedisSentinel:
    """A primary with replicas, watched by three Sentinels. `userinfo` is that of the URL for those with ACCOUNT."""

    folder: Path
    servers: list[Member]
    sentinels: list[Member]
    userinfo: str = ""

    @property
    def url(self) -> str:
        where = ",".join(f"127.0.0.1:{member.port}" for member in self.sentinels)
        return f"redis+sentinel://{self.userinfo}{where}/{SERVICE}/0"

    @property
    def members(self) -> list[Member]:
        return [*self.sentinels, *self.servers]

    @property
    def alive(self) -> bool:
        return all(member.alive for member in self.members)

    def owner(self, key: bytes) -> Member:
        """The primary: it has every key."""
        return self.primary()

    def primary(self) -> Member:
        """As the first Sentinel that lives says."""
        sentinel = next(member for member in self.sentinels if member.alive)
        port = int(sentinel.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)[1])
        return next(member for member in self.servers if member.port == port)

    def link(self) -> Link:
        return Link(make_router(read_url(self.url), StorageConfig()))

    def raw_client(self) -> Redis:
        return _raw(self.primary())

    def socket_of(self, key: bytes) -> str:
        return self.primary().server.socket

    def kill(self) -> None:
        for member in self.members:
            member.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def start_sentinel(
    binary: Path,
    *options: str,
    replicas: int = 1,
    down_after_ms: int = 1000,
    tls: bool = False,
    can_be_cut_off: bool = False,
) -> RedisSentinel:
    """Ready once every Sentinel knows the others and every replica. Those that can be cut off know ACCOUNT."""
    name, password = ACCOUNT
    if can_be_cut_off:
        options = (*options, "--user", name, "on", f">{password}", "~*", "&*", "+@all")
    folder = Path(tempfile.mkdtemp(prefix="relay-sentinel-", dir="/tmp"))
    ports = free_ports(1 + replicas + 3)
    first = ports[0]
    servers = [
        Member(
            binary,
            folder / f"redis-{i}",
            port,
            (
                *("--repl-diskless-sync-delay", "0"),
                *(("--replicaof", "127.0.0.1", str(first)) if i else ()),
                *options,
            ),
            tls=tls,
        )
        for i, port in enumerate(ports[: 1 + replicas])
    ]
    sentinels = [
        Member(
            binary,
            folder / f"sentinel-{i}",
            port,
            ("--sentinel", *(options if tls else ())),
            _sentinel_file(folder, i, first, down_after_ms),
            tls=tls,
        )
        for i, port in enumerate(ports[1 + replicas :])
    ]
    userinfo = f"{name}:{password}@" if can_be_cut_off else ""
    found = RedisSentinel(folder, servers, sentinels, userinfo)
    started: list[Member] = []
    try:
        for member in (*servers, *sentinels):
            member.start()
            started.append(member)
        until(
            lambda: all(_link_up(member) for member in servers[1:]), _READY_WITHIN_S, what="synced replicas"
        )
        until(
            lambda: all(_knows_all(one, replicas) for one in sentinels),
            _READY_WITHIN_S,
            what="Sentinels that know all",
        )
    except BaseException:
        for member in started:
            member.kill()
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return found


def _sentinel_file(folder: Path, i: int, port: int, down_after_ms: int) -> Path:
    """A Sentinel writes what it learns into its file."""
    file = folder / f"sentinel-{i}.conf"
    file.write_text(
        f"sentinel monitor {SERVICE} 127.0.0.1 {port} 2\n"
        f"sentinel down-after-milliseconds {SERVICE} {down_after_ms}\n"
        f"sentinel failover-timeout {SERVICE} 10000\n"
        f"sentinel parallel-syncs {SERVICE} 1\n"
    )
    return file


def _knows_all(sentinel: Member, replicas: int) -> bool:
    reply = sentinel.ask("SENTINEL", "MASTER", SERVICE)
    said = dict(zip(reply[::2], reply[1::2], strict=True))
    return int(said[b"num-other-sentinels"]) == 2 and int(said[b"num-slaves"]) == replicas
