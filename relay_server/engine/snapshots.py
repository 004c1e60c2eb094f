"""Snapshots of queues: of some of them now, and of all of them as they were last seen."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from relay_server import tasks
from relay_server.engine.damage import undamaged
from relay_server.engine.names import RECENT_MS, Names
from relay_server.engine.operations import Operations
from relay_server.engine.rotation import Rotation
from relay_server.engine.scripts import MANY_QUEUES
from relay_server.model import QueueSnapshot

_AT_ONCE = 2  # scripts: the answers of one pipeline take no longer than a few calls
_UNREAD_PER_REFRESH = 500
# A watcher that is so many refreshes behind gets the whole again.
_GONE_KEPT = 100


async def read_queues(ops: Operations, queues: Iterable[str]) -> list[QueueSnapshot]:
    """A snapshot of each queue, in the order given. A queue with damaged keys is logged and left out.

    Raises StoreUnavailable.
    """

    async def read(chunk: Sequence[str]) -> list[QueueSnapshot | None]:
        return [
            undamaged(answer, None, event="queue_unreadable", queue=queue)
            for queue, answer in zip(chunk, await ops.stats_many(chunk), strict=True)
        ]

    answers = await tasks.each(tasks.chunks(queues, MANY_QUEUES), read, at_once=_AT_ONCE)
    return [snapshot for chunk in answers for snapshot in chunk if snapshot is not None]


class Changes(NamedTuple):
    """The difference to a version; `whole`: these are all queues, to replace those known before."""

    whole: bool
    queues: list[QueueSnapshot]
    gone: list[str]


class _Row(NamedTuple):
    """A queue as last seen. `read_ms` is by the clock of the node with the names: the queue's node has another one."""

    snapshot: QueueSnapshot
    version: int
    read_ms: int


class Snapshots:
    """All queues as last seen. A refresh reads the queues that any server used of late, and some others in turn.

    So queues that nobody uses cost little: only the age of their oldest job changes, and that is computed. `version`
    rises with each refresh.
    """

    def __init__(self, names: Names, ops: Operations) -> None:
        self._names = names
        self._ops = ops
        self._rotation = Rotation(names)
        self._rows: dict[str, _Row] = {}
        self._gone: dict[str, int] = {}
        self._lock = asyncio.Lock()
        self.version = 0
        self.now_ms = 0
        self.used: Sequence[str] = ()

    async def refresh(self) -> None:
        """Raises StoreUnavailable."""
        async with self._lock:
            used = await self._names.recent()
            wanted = {*used.names, *await self._rotation.take()}
            if used.total != len(self._rows.keys() | set(used.names)):
                wanted |= await self._difference()
            snapshots = await read_queues(self._ops, wanted)
            self.version += 1
            self.used = used.names
            self.now_ms = used.now_ms
            for snapshot in snapshots:
                self._take(snapshot)
            for queue in wanted.difference(snapshot.queue for snapshot in snapshots):
                self._drop(queue)
            self._gone = {queue: at for queue, at in self._gone.items() if at > self.version - _GONE_KEPT}

    async def _difference(self) -> set[str]:
        """Drops what is gone. Returns some of those that were never read."""
        names = set(await self._names.all())
        for queue in self._rows.keys() - names:
            self._drop(queue)
        return set(sorted(names - self._rows.keys())[:_UNREAD_PER_REFRESH])

    def _take(self, snapshot: QueueSnapshot) -> None:
        known = self._rows.get(snapshot.queue)
        # Where only the clock went on, keep the old one: thousands of new ones, made while the server is busy, would
        # lie scattered over its memory and keep malloc from returning it to the system.
        if known is None or _differ(known.snapshot, snapshot):
            self._rows[snapshot.queue] = _Row(snapshot, self.version, self.now_ms)
            self._gone.pop(snapshot.queue, None)
        elif snapshot.now_ms < known.snapshot.now_ms:  # the store's clock was set back
            self._rows[snapshot.queue] = _Row(snapshot, known.version, self.now_ms)

    def _drop(self, queue: str) -> None:
        if self._rows.pop(queue, None) is not None:
            self._gone[queue] = self.version + 1  # the version of the refresh under way

    async def read(self, queues: Sequence[str]) -> list[QueueSnapshot]:
        """Snapshots of these queues now, in the order given. Reads again only those used since they were last read.

        Raises StoreUnavailable.
        """
        used = await self._names.used_since(queues, self.now_ms - RECENT_MS)
        unread = [queue for queue in queues if queue in used or queue not in self._rows]
        fresh = {snapshot.queue: snapshot for snapshot in await read_queues(self._ops, unread)}
        snapshots = (fresh.get(queue) or (None if queue in used else self.get(queue)) for queue in queues)
        return [snapshot for snapshot in snapshots if snapshot is not None]

    def get(self, queue: str) -> QueueSnapshot | None:
        """The last snapshot of the queue, if there is one."""
        row = self._rows.get(queue)
        return None if row is None else self._aged(row)

    def all(self) -> list[QueueSnapshot]:
        """By name."""
        return [self._aged(self._rows[queue]) for queue in sorted(self._rows)]

    def since(self, version: int) -> Changes:
        """The changes after that version; the whole for 0 or a version too old."""
        if not self.version - _GONE_KEPT < version <= self.version or not version:
            return Changes(True, self.all(), [])
        changed = sorted(queue for queue, row in self._rows.items() if row.version > version)
        gone = sorted(queue for queue, at in self._gone.items() if at > version)
        return Changes(False, [self._aged(self._rows[queue]) for queue in changed], gone)

    def _aged(self, row: _Row) -> QueueSnapshot:
        snapshot, passed = row.snapshot, self.now_ms - row.read_ms
        if passed <= 0 or not snapshot.ready:
            return snapshot
        return replace(
            snapshot, now_ms=snapshot.now_ms + passed, oldest_ready_ms=snapshot.oldest_ready_ms + passed
        )


def _differ(a: QueueSnapshot, b: QueueSnapshot) -> bool:
    """Whether anything but the clock changed."""
    since = (a.now_ms - a.oldest_ready_ms if a.ready else 0) != (
        b.now_ms - b.oldest_ready_ms if b.ready else 0
    )
    return since or replace(a, now_ms=b.now_ms, oldest_ready_ms=b.oldest_ready_ms) != b
