"""What WatchStats tells, put together to snapshots."""

from collections.abc import Iterator

from relay.v1 import admin_service_pb2 as pb
from relay_client._moments import moments


def piece(
    second: int, ready: dict[str, int], *, gone: tuple[str, ...] = (), whole: bool = False, more: bool = False
) -> pb.WatchStatsResponse:
    made = pb.WatchStatsResponse(forgotten=gone, whole=whole, more=more)
    made.time.FromSeconds(second)
    for name, jobs in ready.items():
        row = made.queues.add(queue=name, ready=jobs)
        row.oldest_ready_age.FromSeconds(10 if jobs else 0)
    return made


def test_pieces_and_changes_become_whole_snapshots() -> None:
    answers = [
        piece(1, {"b": 1}, whole=True, more=True),
        piece(1, {"c": 0}, more=True),
        piece(1, {"a": 2}),
        piece(3, {"a": 5}, gone=("c",)),
        piece(4, {"z": 1}, whole=True),
    ]
    seen = [
        [(row.queue, row.ready, row.oldest_ready_age.seconds) for row in snapshot.queues]
        for snapshot in moments(iter(answers))
    ]
    assert seen == [[("a", 2, 10), ("b", 1, 10), ("c", 0, 0)], [("a", 5, 10), ("b", 1, 12)], [("z", 1, 10)]]


def test_closing_it_ends_the_stream() -> None:
    closed = []

    def pieces() -> Iterator[pb.WatchStatsResponse]:
        try:
            while True:
                yield piece(1, {}, whole=True)
        finally:
            closed.append(True)

    watching = moments(pieces())
    next(watching)
    watching.close()
    assert closed == [True]
