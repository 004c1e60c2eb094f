"""Makes the frames of WatchStats streams: each once for all watchers that are to be told the same."""

from collections.abc import Callable, Iterator, Sequence

from relay.v1 import admin_service_pb2 as pb
from relay_server import limits
from relay_server.engine.snapshots import Snapshots
from relay_server.rpc import convert_admin
from relay_server.rpc.convert import timestamp


class StatsFrames:
    """Keeps the frames that bring watchers to the current version of the snapshots, and forgets them with the next."""

    def __init__(self, snapshots: Snapshots) -> None:
        self._snapshots = snapshots
        self._made: dict[tuple[object, int], list[bytes]] = {}
        self._version = 0

    def since(self, version: int, view: object, shows: Callable[[str], bool]) -> tuple[int, Sequence[bytes]]:
        """The current version, and the serialized frames that bring a watcher from `version` to it.

        `shows` says which queues are in the view. Watchers of equal views must be shown the same queues.
        """
        if self._version != self._snapshots.version:
            self._made, self._version = {}, self._snapshots.version
        frames = self._made.get((view, version))
        if frames is None:
            frames = self._made[view, version] = list(self._make(version, shows))
        return self._version, frames

    def _make(self, version: int, shows: Callable[[str], bool]) -> Iterator[bytes]:
        whole, queues, gone = self._snapshots.since(version)
        rows = [one for one in queues if shows(one.queue)]
        names = [queue for queue in gone if shows(queue)]
        time = timestamp(self._snapshots.now_ms)
        for at in range(0, max(len(rows), len(names), 1), limits.FRAME_QUEUES_MAX):
            upto = at + limits.FRAME_QUEUES_MAX
            yield pb.WatchStatsResponse(
                queues=map(convert_admin.queue_stats, rows[at:upto]),
                time=time,
                whole=whole and not at,
                more=upto < max(len(rows), len(names)),
                forgotten=names[at:upto],
            ).SerializeToString()
