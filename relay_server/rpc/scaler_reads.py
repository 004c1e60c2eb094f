"""Reads the figures for the scaler's answers: from the store at most once a second, however many ask.

KEDA asks every ten seconds or so; whoever may look at a queue may ask as often as the network lets them.
"""

from relay_server.engine import Names, Operations, Roster
from relay_server.fresh import Fresh
from relay_server.model import QueueSnapshot
from relay_server.rpc.scaler import Crew

FRESH_S = 1.0
_REMEMBERED_MAX = 1000


class _Queue:
    """The figures of one queue."""

    def __init__(self, name: str, ops: Operations, roster: Roster) -> None:
        self._name = name
        self._roster = roster
        self.stats = Fresh(lambda: ops.stats(name), for_s=FRESH_S)
        self.crew = Fresh(self._read_crew, for_s=FRESH_S)

    async def _read_crew(self) -> Crew:
        workers, slots = await self._roster.crew(self._name)
        return Crew(workers=workers, slots=slots)


class ScalerReads:
    """Keeps nothing of a trigger, and of queues only for a moment."""

    def __init__(self, ops: Operations, names: Names, roster: Roster) -> None:
        self._ops = ops
        self._known = names
        self._roster = roster
        self._names = Fresh(self._read_names, for_s=FRESH_S)
        self._queues: dict[str, _Queue] = {}

    async def queue(self, name: str) -> QueueSnapshot | None:
        """A snapshot of the queue; None for one that nobody ever used, for there is no end to such names."""
        found = await self._found(name)
        return await found.stats.get() if found is not None else None

    async def crew(self, name: str) -> Crew:
        """The connected workers that have a stream on the queue."""
        found = await self._found(name)
        return await found.crew.get() if found is not None else Crew(workers=0, slots=0)

    async def _found(self, name: str) -> _Queue | None:
        if name not in await self._names.get():
            return None
        if name not in self._queues:
            self._make_room()
            self._queues[name] = _Queue(name, self._ops, self._roster)
        return self._queues[name]

    async def _read_names(self) -> frozenset[str]:
        return frozenset(await self._known.all())

    def _make_room(self) -> None:
        if len(self._queues) < _REMEMBERED_MAX:
            return
        over = [name for name, one in self._queues.items() if one.stats.is_over and one.crew.is_over]
        for name in over:
            del self._queues[name]
