"""Which node has a key or a channel: the question that link and listeners ask, and its answer for a single server."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol

import structlog

from relay_server import tasks
from relay_server.storage.connect import Address, Node
from relay_server.storage.failures import FAILURES

_log = structlog.get_logger(__name__)

_APART_S = 0.1  # between two runs of `look`


class Router(Protocol):
    """Names the node of a key. `changes` grows whenever a key may have moved to another node.

    `sharded`: two keys may be on two nodes, so no command may name keys of two hash slots.
    """

    sharded: bool
    changes: int

    def node(self, key: bytes) -> Node:
        """The node of the key, as last known. Raises ClusterDownError when no node is known to have it."""
        ...

    def node_at(self, address: Address) -> Node: ...
    def moved(self, slot: int, address: Address) -> None:
        """A node answered MOVED: the slot is at this address now."""
        ...

    def primaries(self) -> Sequence[Node]: ...
    def doubt(self) -> None:
        """A command failed, maybe because nodes changed roles: asks them again soon, in the background."""
        ...

    async def refresh(self) -> None:
        """Asks the nodes now. Raises redis' ConnectionError when none of them answers."""
        ...

    async def aclose(self) -> None: ...


class Single:
    """The router of a single server, which has every key."""

    sharded = False

    def __init__(self, node: Node) -> None:
        self.changes = 0
        self._node = node

    def node(self, key: bytes) -> Node:
        return self._node

    def node_at(self, address: Address) -> Node:
        return self._node

    def moved(self, slot: int, address: Address) -> None:
        """A single server has no slots that move."""

    def primaries(self) -> Sequence[Node]:
        return (self._node,)

    def doubt(self) -> None:
        """There is no other node to ask."""

    async def refresh(self) -> None:
        """There is nothing to ask."""

    async def aclose(self) -> None:
        await self._node.close()


class Refreshes:
    """Runs `look` when asked to, at most once per 100 ms; after the first `watch` also every `period_s`."""

    def __init__(self, look: Callable[[], Coroutine[Any, Any, None]], *, period_s: float) -> None:
        self._look = look
        self._period_s = period_s
        self._asked = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def ask(self) -> None:
        self._asked.set()
        self.watch()

    def watch(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="topology")

    async def _run(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._period_s):
                    await self._asked.wait()
            except TimeoutError:
                pass
            self._asked.clear()
            try:
                await self._look()
            except FAILURES as error:
                _log.warning("topology_unknown", error=repr(error))
            await asyncio.sleep(_APART_S)

    async def aclose(self) -> None:
        if self._task is not None:
            await tasks.end([self._task])
