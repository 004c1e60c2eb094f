"""What the scaler's answers are made of: read from the store at most once a second, however many ask.

KEDA asks every ten seconds or so; whoever may look at a queue may ask as often as the network lets them.
"""

from collections.abc import Mapping

from relay_server.engine import Engine, Operations
from relay_server.fresh import Fresh
from relay_server.model import QueueSnapshot
from relay_server.observability.snapshots import store_now_ms
from relay_server.rpc import worker_entries
from relay_server.rpc.scaler import Crew, crews_of

FRESH_S = 1.0
_REMEMBERED_MAX = 1000


class ScalerReads:
    """Keeps nothing of a trigger, and of queues only for a moment."""

    def __init__(self, ops: Operations, engine: Engine) -> None:
        self._ops = ops
        self._directory = engine.directory
        self._names = Fresh(self._read_names, for_s=FRESH_S)
        self._crews = Fresh(self._read_crews, for_s=FRESH_S)
        self._queues: dict[str, Fresh[QueueSnapshot]] = {}

    async def queue(self, name: str) -> QueueSnapshot | None:
        """How it stands; None for one that nobody ever used, of whose names there is no end."""
        if name not in await self._names.get():
            return None
        reading = self._queues.get(name)
        if reading is None:
            self._make_room()
            reading = self._queues[name] = Fresh(lambda: self._ops.stats(name), for_s=FRESH_S)
        return await reading.get()

    async def crew(self, name: str) -> Crew:
        """The connected workers that have a stream on the queue."""
        return (await self._crews.get()).get(name, Crew(workers=0, slots=0))

    async def _read_names(self) -> frozenset[str]:
        return frozenset(await self._directory.names())

    async def _read_crews(self) -> Mapping[str, Crew]:
        now_ms = await store_now_ms(self._ops)
        return crews_of(worker_entries.shown(await self._directory.sessions(), now_ms))

    def _make_room(self) -> None:
        if len(self._queues) < _REMEMBERED_MAX:
            return
        for name in [name for name, reading in self._queues.items() if reading.is_over]:
            del self._queues[name]
