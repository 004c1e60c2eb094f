"""Says which node a key or channel is on: one server, the primary that Sentinels name, or a cluster's slot map."""

import asyncio
import random
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from functools import lru_cache
from typing import Any, Protocol

import structlog
from redis import exceptions as redis_errors
from redis.asyncio import Redis
from redis.crc import key_slot

from relay_server import tasks
from relay_server.storage.connect import Address, Node
from relay_server.storage.failures import FAILURES

_log = structlog.get_logger(__name__)

SLOTS = 16384
_REFRESH_MIN_S = 0.1  # between two looks that failed commands ask for


class Topology(Protocol):
    """What the link and the listener ask. `changes` grows whenever an answer may have become another.

    `sharded`: keys of two slots may be on two nodes, and no command may name both.
    """

    sharded: bool
    changes: int

    def node(self, key: bytes) -> Node:
        """Where the key is as far as known. Raises ClusterDownError when nobody is known to have it."""
        ...

    def node_at(self, address: Address) -> Node: ...
    def moved(self, slot: int, address: Address) -> None:
        """A node said that the slot is elsewhere now."""
        ...

    def primaries(self) -> Sequence[Node]: ...
    def doubt(self) -> None:
        """Something failed that a look at the topology may explain; the look happens soon, in the background."""
        ...

    async def refresh(self) -> None:
        """Looks now. Raises redis' ConnectionError when nobody can tell."""
        ...

    async def aclose(self) -> None: ...


class Single:
    """One server, for ever."""

    sharded = False

    def __init__(self, node: Node) -> None:
        self.changes = 0
        self._node = node

    def node(self, key: bytes) -> Node:
        return self._node

    def node_at(self, address: Address) -> Node:
        return self._node

    def moved(self, slot: int, address: Address) -> None:
        """A server on its own moves nothing."""

    def primaries(self) -> Sequence[Node]:
        return (self._node,)

    def doubt(self) -> None:
        """There is nowhere else to look."""

    async def refresh(self) -> None:
        """There is nothing to find out."""

    async def aclose(self) -> None:
        await self._node.close()


class _Doubts:
    """Looks at most every 100 ms however many doubt, and by itself every `period_s`, once asked to watch."""

    def __init__(self, look: Callable[[], Coroutine[Any, Any, None]], *, period_s: float) -> None:
        self._look = look
        self._period_s = period_s
        self._doubted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def doubt(self) -> None:
        self._doubted.set()
        self.watch()

    def watch(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="topology")

    async def _run(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._period_s):
                    await self._doubted.wait()
            except TimeoutError:
                pass
            self._doubted.clear()
            try:
                await self._look()
            except FAILURES as error:
                _log.warning("topology_unknown", error=repr(error))
            await asyncio.sleep(_REFRESH_MIN_S)

    async def aclose(self) -> None:
        if self._task is not None:
            await tasks.end([self._task])


class Sentinels:
    """The primary of one service. The answer with the highest epoch of failover counts, and no lower one ever after."""

    sharded = False
    _PERIOD_S = 1.0
    _ANSWER_WITHIN_S = 1.0

    def __init__(
        self, sentinels: Iterable[Redis], service: str, *, open_node: Callable[[Address], Node]
    ) -> None:
        self.changes = 0
        self._sentinels = tuple(sentinels)
        self._service = service
        self._open = open_node
        self._primary: Node | None = None
        self._epoch = -1
        self._looking = asyncio.Lock()
        self._doubts = _Doubts(self.refresh, period_s=self._PERIOD_S)
        for client in self._sentinels:
            client.response_callbacks.clear()

    def node(self, key: bytes) -> Node:
        if self._primary is None:
            raise redis_errors.ClusterDownError(f"no Sentinel named a primary of {self._service}")
        return self._primary

    def node_at(self, address: Address) -> Node:
        return self.node(b"")

    def moved(self, slot: int, address: Address) -> None:
        """Only a cluster moves slots."""

    def primaries(self) -> Sequence[Node]:
        return (self.node(b""),)

    def doubt(self) -> None:
        self._doubts.doubt()

    async def refresh(self) -> None:
        async with self._looking:
            await self._refresh()

    async def _refresh(self) -> None:
        answers = await asyncio.gather(*(self._ask(client) for client in self._sentinels))
        known = [answer for answer in answers if not isinstance(answer, Exception)]
        self._doubts.watch()
        if not known:
            raise redis_errors.ConnectionError(
                f"no Sentinel knows a primary of {self._service}: {'; '.join(sorted({str(a) for a in answers}))}"
            )
        epoch, address = max(known)
        if epoch < self._epoch or (self._primary is not None and self._primary.address == address):
            return
        node = self._open(address)
        try:
            if not await _is_primary(node):  # the Sentinels are faster than the promotion
                self._doubts.doubt()
                await node.close()
                return
        except BaseException:
            await node.close()
            raise
        before, self._primary, self._epoch = self._primary, node, epoch
        self.changes += 1
        if before is not None:
            _log.warning("primary_changed", before=before.shown, now=node.shown, epoch=epoch)
            # What still waits for the old one would wait for the timeout, if that one froze.
            await before.close()

    async def _ask(self, client: Redis) -> tuple[int, Address] | Exception:
        try:
            async with asyncio.timeout(self._ANSWER_WITHIN_S):
                reply = await client.execute_command("SENTINEL", "MASTER", self._service)  # type: ignore[no-untyped-call]
        except (*FAILURES, TimeoutError) as error:
            return error
        said = dict(zip(reply[::2], reply[1::2], strict=True))
        return int(said[b"config-epoch"]), (said[b"ip"].decode(), int(said[b"port"]))

    async def aclose(self) -> None:
        await self._doubts.aclose()
        for client in self._sentinels:
            await client.aclose()
        if self._primary is not None:
            await self._primary.close()


async def _is_primary(node: Node) -> bool:
    info = await node.client.info("replication")
    return bool(info.get("role") == "master")


@lru_cache(maxsize=16384)
def slot_of(key: bytes) -> int:
    """The hash slot of a key or channel."""
    return int(key_slot(key))


class Cluster:
    """The slot map, as the last node that was asked knew it, corrected by every MOVED since."""

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
        self._doubts = _Doubts(self.refresh, period_s=self._PERIOD_S)

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
        self._doubts.doubt()

    async def refresh(self) -> None:
        ranges = await self._ask_somebody()
        slots: list[Node | None] = [None] * SLOTS
        members: list[Address] = []
        for first, last, addresses in ranges:
            slots[first : last + 1] = [self.node_at(addresses[0])] * (last + 1 - first)
            members += addresses
        self._doubts.watch()
        self._members = tuple(dict.fromkeys(members))
        if slots != self._slots:
            before, self._slots = self.primaries(), slots
            self.changes += 1
            for node in {*before} - {*self.primaries()}:
                # What still waits for a primary that was replaced would wait for the timeout, if that one froze.
                await node.close()
        gone = [address for address in self._nodes if address not in {*self._members, *self._seeds}]
        for address in gone:
            await self._nodes.pop(address).close()

    async def _ask_somebody(self) -> list[tuple[int, int, list[Address]]]:
        """The first answer; those that failed lately are asked last. A random order, so that none is asked by all."""
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
        await self._doubts.aclose()
        for node in self._nodes.values():
            await node.close()


def _kind_of(error: Exception) -> type[Exception]:
    """A login that is refused stays one, so that the advice fits; anything else is a way that is cut."""
    refused = (redis_errors.AuthenticationError, redis_errors.NoPermissionError)
    return type(error) if isinstance(error, refused) else redis_errors.ConnectionError


def _slot_ranges(reply: Any, asked: Address) -> list[tuple[int, int, list[Address]]]:
    """(first, last, addresses with the primary's first). A node that knows no name of its own gives an empty one."""
    ranges = []
    for first, last, *nodes in reply:
        addresses = [((host or b"").decode() or asked[0], int(port)) for host, port, *_ in nodes]
        ranges.append((int(first), int(last), [(asked[0] if h == "?" else h, p) for h, p in addresses]))
    return ranges
