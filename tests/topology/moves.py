"""Moves a hash slot from one primary of a cluster to another: key by key, or as a whole where the server can."""

import time

from tests.support.redis_cluster import RedisCluster, port_of_slot
from tests.support.redis_members import Member

_KEYS_AT_ONCE = 10  # few, so that a queue is in two places for as long as in real life
_MOVED_WITHIN_S = 30.0


def begin_move(cluster: RedisCluster, slot: int, target: Member | None = None) -> tuple[Member, Member]:
    """Leaves the slot between its source and its target, which are returned."""
    source = cluster.owner_of_slot(slot)
    target = target or next(member for member in cluster.primaries if member is not source)
    target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", source.ask("CLUSTER", "MYID"))
    source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", target.ask("CLUSTER", "MYID"))
    return source, target


def finish_move(cluster: RedisCluster, slot: int, source: Member, target: Member) -> int:
    """Returns how many keys went over."""
    moved = 0
    while keys := source.ask("CLUSTER", "GETKEYSINSLOT", slot, _KEYS_AT_ONCE):
        source.ask("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
        moved += len(keys)
    to = target.ask("CLUSTER", "MYID")
    for member in (target, source, *(m for m in cluster.primaries if m not in (target, source))):
        member.ask("CLUSTER", "SETSLOT", slot, "NODE", to)
    return moved


def move_key_by_key(cluster: RedisCluster, slot: int, target: Member) -> int:
    """As redis-cli --cluster reshard does. Returns how many keys went over."""
    return finish_move(cluster, slot, *begin_move(cluster, slot, target))


def move_whole(cluster: RedisCluster, slot: int, target: Member) -> int:
    """Valkey 9's atomic slot migration: the slot is on one side or on the other. Returns how many keys it has."""
    source = cluster.owner_of_slot(slot)
    source.ask("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", target.ask("CLUSTER", "MYID"))
    ends = time.monotonic() + _MOVED_WITHIN_S
    while any(port_of_slot(slot, member) != target.port for member in cluster.primaries):
        assert time.monotonic() < ends, f"slot {slot} did not move within {_MOVED_WITHIN_S:g} s"
        time.sleep(0.005)
    return int(target.ask("CLUSTER", "COUNTKEYSINSLOT", slot))
