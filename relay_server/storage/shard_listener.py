"""Listens to sharded channels on the nodes that own them, and follows them when they move."""

import asyncio
from collections import defaultdict
from contextlib import suppress

import structlog

from relay_server import tasks
from relay_server.storage.connect import Node
from relay_server.storage.failures import FAILURES
from relay_server.storage.listener import Listener
from relay_server.storage.router import Router

_log = structlog.get_logger(__name__)

_LOOK_S = 0.25  # how soon a changed router is noticed
_PAUSE_MAX_S = 1.0


class ShardListener:
    """A Listener for each node that owns a wanted channel. A node that fails silences its own channels only.

    Those channels are subscribed to again on their new nodes, and then give an empty message, as after any gap.
    """

    def __init__(self, router: Router, *, silence_max_s: float) -> None:
        self._router = router
        self._silence_max_s = silence_max_s
        self._where: dict[str, Node | None] = {}
        self._listeners: dict[Node, tuple[Listener, asyncio.Task[None]]] = {}
        self._messages: asyncio.Queue[tuple[bytes, bytes]] = asyncio.Queue()
        self._to_place = asyncio.Event()
        self._seen_changes = -1
        self._keeper: asyncio.Task[None] | None = None

    async def subscribe(self, *channels: str) -> None:
        """Returns at once; the channel's first, empty message says that the subscription took effect."""
        for channel in channels:
            self._where.setdefault(channel, None)
        self._to_place.set()
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep(), name="shard-listener")

    async def unsubscribe(self, *channels: str) -> None:
        at: dict[Node, list[str]] = defaultdict(list)
        for channel in channels:
            node = self._where.pop(channel, None)
            if node is not None:
                at[node].append(channel)
        for node, left in at.items():
            pair = self._listeners.get(node)
            if pair is None:
                continue
            try:
                for channel in left:
                    await pair[0].unsubscribe(channel)
            except FAILURES as error:
                await self._lost(node, error)

    async def get(self) -> tuple[bytes, bytes] | None:
        """The next (channel, data), or None after at most half of `silence_max_s` without one. As Listener's."""
        if self._keeper is not None and self._keeper.done():
            self._keeper.result()
        try:
            async with asyncio.timeout(self._silence_max_s / 2):
                return await self._messages.get()
        except TimeoutError:
            return None

    async def _keep(self) -> None:
        """Subscribes channels that have no node yet; looks again when the router changed."""
        failures = 0
        while True:
            placed = await self._place()
            failures = 0 if placed else failures + 1
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S if placed else min(_PAUSE_MAX_S, 0.05 * 2**failures)):
                    await self._to_place.wait()
                    if not placed:  # newly wanted channels do not shorten the pause after a failure
                        await asyncio.Event().wait()

    async def _place(self) -> bool:
        """Subscribes each wanted channel at its node. True when all of them are there."""
        if not self._to_place.is_set() and self._seen_changes == self._router.changes:
            return True
        self._to_place.clear()
        self._seen_changes = self._router.changes
        add: dict[Node, list[str]] = defaultdict(list)
        unknown = False
        for channel, at in self._where.items():
            try:
                node = self._router.node(channel.encode())
            except FAILURES:
                unknown = True
                continue
            if node is not at:
                add[node].append(channel)  # the former node ends its subscription by itself
        done = await asyncio.gather(*(self._enter(node, channels) for node, channels in add.items()))
        for node in [node for node in self._listeners if node not in set(self._where.values())]:
            await self._drop(node)
        if unknown or not all(done):
            self._to_place.set()
            self._router.doubt()
            return False
        return True

    async def _enter(self, node: Node, channels: list[str]) -> bool:
        """Subscribes at a node. One command a channel: one that names several slots is refused."""
        pair = self._listeners.get(node)
        listener = pair[0] if pair is not None else self._new_listener(node)
        try:
            for channel in channels:
                if channel in self._where:
                    self._where[channel] = node  # before the confirmation can arrive
                    await listener.subscribe(channel)
        except FAILURES as error:
            await self._lost(node, error)
            if pair is None:
                with suppress(*FAILURES):
                    await listener.aclose()
            return False
        if pair is None:
            reader = asyncio.create_task(self._read(node, listener), name="shard-reader")
            self._listeners[node] = (listener, reader)
        elif self._listeners.get(node) is not pair:  # dropped meanwhile: nobody reads its connection
            self._unplace(node)
            return False
        return True

    def _new_listener(self, node: Node) -> Listener:
        return Listener(
            node.pubsub_client,
            silence_max_s=self._silence_max_s,
            on_gone=lambda channel: self._gone(node, channel.decode()),
        )

    async def _read(self, node: Node, listener: Listener) -> None:
        try:
            while True:
                message = await listener.get()
                if message is not None and self._where.get(message[0].decode()) is node:
                    self._messages.put_nowait(message)
        except FAILURES as error:
            await self._lost(node, error)

    def _gone(self, node: Node, channel: str) -> None:
        """The node gave the channel's slot away."""
        if self._where.get(channel) is node:
            self._where[channel] = None
            self._to_place.set()
            self._router.doubt()

    async def _lost(self, node: Node, error: Exception) -> None:
        _log.warning("shard_channels_lost", node=node.shown, error=repr(error))
        self._unplace(node)
        self._router.doubt()
        await self._drop(node)

    def _unplace(self, node: Node) -> None:
        for channel, at in self._where.items():
            if at is node:
                self._where[channel] = None
        self._to_place.set()

    async def _drop(self, node: Node) -> None:
        pair = self._listeners.pop(node, None)
        if pair is None:
            return
        listener, reader = pair
        if reader is not asyncio.current_task():
            await tasks.end([reader])
        with suppress(*FAILURES):
            await listener.aclose()

    async def aclose(self) -> None:
        if self._keeper is not None:
            await tasks.end([self._keeper])
        for node in list(self._listeners):
            await self._drop(node)
