"""Puts the pieces and the changes of WatchStats together to whole snapshots."""

from collections.abc import Generator, Iterator

from google.protobuf.timestamp_pb2 import Timestamp

from relay.v1 import admin_service_pb2 as admin_pb

_Known = dict[str, tuple[admin_pb.QueueStats, int]]


def moments(
    pieces: Iterator[admin_pb.WatchStatsResponse],
) -> Generator[admin_pb.WatchStatsResponse, None, None]:
    """A snapshot of all queues, by name, for each moment. Closing it closes `pieces`."""
    known: _Known = {}
    try:
        for piece in pieces:
            if piece.whole:
                known.clear()
            for queue in piece.queues:
                known[queue.queue] = queue, piece.time.ToNanoseconds()
            for name in piece.forgotten:
                known.pop(name, None)
            if not piece.more:
                yield _whole(known, piece.time)
    finally:
        close = getattr(pieces, "close", None)
        if close is not None:
            close()


def _whole(known: _Known, time: Timestamp) -> admin_pb.WatchStatsResponse:
    """Every known queue; the age of its oldest ready job is brought up to `time`."""
    snapshot = admin_pb.WatchStatsResponse(time=time, whole=True)
    now = time.ToNanoseconds()
    for _, (stats, then) in sorted(known.items()):
        row = snapshot.queues.add()
        row.CopyFrom(stats)
        if row.ready and now > then:
            row.oldest_ready_age.FromNanoseconds(row.oldest_ready_age.ToNanoseconds() + now - then)
    return snapshot
