"""Starts a real cluster for tests: primaries with their replicas, joined and serving all slots."""

import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import redis
from redis.crc import key_slot

from tests.support.redis_members import READY_WITHIN_S, Member, RawClients, Topology, free_ports
from tests.support.waiting import until

SLOTS = 16384


@dataclass(slots=True, eq=False)
class RedisCluster(Topology):
    """Primaries with their replicas. Where slots move, ask `owner` and not `primary_of`."""

    folder: Path
    primaries: list[Member]
    replicas: list[Member]

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"127.0.0.1:{member.port}" for member in self.primaries)

    @property
    def members(self) -> list[Member]:
        return [*self.primaries, *self.replicas]

    def raw_client(self) -> RawClients:
        clients = {member.port: member.raw_client() for member in self.primaries}
        return RawClients(clients, lambda key: clients[self.primary_of(key).port])

    def primary_of(self, key: bytes) -> Member:
        """As long as slots stay where they were at the start."""
        return self.primaries[min(key_slot(key) * len(self.primaries) // SLOTS, len(self.primaries) - 1)]

    def owner(self, key: bytes) -> Member:
        """Who has the key now, as the first member that lives and knows says."""
        return self.owner_of_slot(key_slot(key))

    def owner_of_slot(self, slot: int) -> Member:
        by_port = {member.port: member for member in self.members}
        for member in self.members:
            if member.alive and (port := port_of_slot(slot, member)):
                return by_port[port]
        raise AssertionError(f"nobody has slot {slot}")

    def socket_of(self, key: bytes) -> str:
        return self.primary_of(key).server.socket


def port_of_slot(slot: int, member: Member) -> int:
    """The port of the slot's owner, as this member says; 0 when it knows none."""
    for first, last, node, *_ in member.ask("CLUSTER", "SLOTS"):
        if first <= slot <= last:
            return int(node[1])
    return 0


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
    cluster.start(lambda: _join(cluster, buses))
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
        READY_WITHIN_S,
        what="a joined cluster",
    )
    for i, replica in enumerate(cluster.replicas):
        node_id = cluster.primaries[i % n].ask("CLUSTER", "MYID")
        until(partial(_replicate, replica, node_id), READY_WITHIN_S, what="a known primary")
    until(lambda: all(_serves(m, n) for m in cluster.members), READY_WITHIN_S, what="a cluster that serves")
    if cluster.replicas:
        until(lambda: all(m.follows for m in cluster.replicas), READY_WITHIN_S, what="synced replicas")


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
