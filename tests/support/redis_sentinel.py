"""Starts a real primary with replicas for tests, watched by three Sentinels."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from redis.asyncio import Redis

from tests.support.redis_members import ACCOUNT, READY_WITHIN_S, Member, Topology, free_ports
from tests.support.waiting import until

SERVICE = "jobs"


@dataclass(slots=True, eq=False)
class RedisSentinel(Topology):
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
        return [*self.servers, *self.sentinels]

    def owner(self, key: bytes) -> Member:
        """The primary: it has every key."""
        return self.primary()

    def primary(self) -> Member:
        """As the first Sentinel that lives says."""
        sentinel = next(member for member in self.sentinels if member.alive)
        port = int(sentinel.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)[1])
        return next(member for member in self.servers if member.port == port)

    def raw_client(self) -> Redis:
        return self.primary().raw_client()

    def socket_of(self, key: bytes) -> str:
        return self.primary().server.socket


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
    found.start(lambda: _until_ready(found, replicas))
    return found


def _until_ready(store: RedisSentinel, replicas: int) -> None:
    until(lambda: all(member.follows for member in store.servers[1:]), READY_WITHIN_S, what="synced replicas")
    until(
        lambda: all(_knows_all(one, replicas) for one in store.sentinels),
        READY_WITHIN_S,
        what="Sentinels that know all",
    )


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
