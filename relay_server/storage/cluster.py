"""Which node has a key in a cluster: the slot map."""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from redis import exceptions as redis_errors
from redis.crc import key_slot

from relay_server.storage.connect import Address, Node
from relay_server.storage.failures import FAILURES
from relay_server.storage.router import Refreshes

SLOTS = 16384


@lru_cache(maxsize=16384)
def slot_of(key: bytes) -> int:
    """The hash slot of a key or channel."""
    return int(key_slot(key))


class Cluster:
    """The router of a cluster: the slot map that a node gave last, corrected by each MOVED since."""

    sharded = True

    _PERIOD_S = 1.0
    _ANSWER_WITHIN_S = 1.0

    def __init__(self, seeds: Sequence[Address], *, open_node: Callable[[Address], Node]) -> None:
        self.changes = 0
        self._seeds = tuple(seeds)
        self._open = open_node
        self._nodes: dict[Address, Node] = {}
        self._slots: list[Node | None] = [None] * SLOTS
        self._members: tuple[Address, ...] = ()
        self._failed_at: dict[Address, float] = {}
        self._refreshes = Refreshes(self.refresh, period_s=self._PERIOD_S)

    def node(self, key: bytes) -> Node:
        slot = slot_of(key)
        node = self._slots[slot]
        if node is None:
            self.doubt()
            raise redis_errors.ClusterDownError(f"no node of the cluster is known to serve slot {slot}")
        return node

    def node_at(self, address: Address) -> Node:
        node = self._nodes.get(address)
        if node is None:
            node = self._nodes[address] = self._open(address)
        return node

    def moved(self, slot: int, address: Address) -> None:
        node = self.node_at(address)
        if self._slots[slot] is not node:
            self._slots[slot] = node
            self.changes += 1

    def primaries(self) -> Sequence[Node]:
        return tuple(dict.fromkeys(node for node in self._slots if node is not None))

    def doubt(self) -> None:
        self._refreshes.ask()

    async def refresh(self) -> None:
        ranges = await self._ask_somebody()
        slots: list[Node | None] = [None] * SLOTS
        members: list[Address] = []
        for first, last, addresses in ranges:
            slots[first : last + 1] = [self.node_at(addresses[0])] * (last + 1 - first)
            members += addresses
        self._refreshes.watch()
        self._members = tuple(dict.fromkeys(members))
        if slots != self._slots:
            before, self._slots = self.primaries(), slots
            self.changes += 1
            for node in {*before} - {*self.primaries()}:
                # If the replaced primary froze, calls that wait for it would wait until their timeout.
                await node.close()
        gone = [address for address in self._nodes if address not in {*self._members, *self._seeds}]
        for address in gone:
            await self._nodes.pop(address).close()

    async def _ask_somebody(self) -> list[tuple[int, int, list[Address]]]:
        """The slot ranges of the first node that answers. The order is random, so that servers do not all ask one node;
        nodes that did not answer before are asked last, the latest of them at the end.
        """
        addresses = list(dict.fromkeys((*self._members, *self._seeds)))
        random.shuffle(addresses)
        addresses.sort(key=lambda address: self._failed_at.get(address, 0.0))
        failures: list[str] = []
        kind: type[Exception] = redis_errors.ConnectionError
        for address in addresses:
            node = self.node_at(address)
            try:
                async with asyncio.timeout(self._ANSWER_WITHIN_S):
                    reply = await node.client.execute_command("CLUSTER", "SLOTS")  # type: ignore[no-untyped-call]
                return _slot_ranges(reply, address)
            except (*FAILURES, TimeoutError) as error:
                self._failed_at[address] = time.monotonic()
                failures.append(f"{node.shown}: {error or type(error).__name__}")
                kind = _kind_of(error)
        raise kind(f"no node of the cluster tells its slots: {'; '.join(failures)}")

    async def aclose(self) -> None:
        await self._refreshes.aclose()
        for node in self._nodes.values():
            await node.close()


def _kind_of(error: Exception) -> type[Exception]:
    """A refused login keeps its own class, so that the advice fits it; any other error is a lost connection."""
    refused = (redis_errors.AuthenticationError, redis_errors.NoPermissionError)
    return type(error) if isinstance(error, refused) else redis_errors.ConnectionError


def _slot_ranges(reply: Any, asked: Address) -> list[tuple[int, int, list[Address]]]:
    """(first slot, last slot, addresses: the primary's first). An empty host or "?" means the node that was asked."""
    ranges = []
    for first, last, *nodes in reply:
        addresses = [((host or b"").decode() or asked[0], int(port)) for host, port, *_ in nodes]
        ranges.append((int(first), int(last), [(asked[0] if h == "?" else h, p) for h, p in addresses]))
    return ranges
