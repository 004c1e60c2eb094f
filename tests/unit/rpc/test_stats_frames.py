"""Frames of bounded size, made once for all watchers of a view."""

from typing import cast

from relay.v1 import admin_service_pb2 as pb
from relay_server.engine.snapshots import Changes, Snapshots
from relay_server.limits import FRAME_QUEUES_MAX
from relay_server.model import QueueSnapshot, Settings
from relay_server.rpc.stats_frames import StatsFrames

SETTINGS = Settings(rate=0, burst=0, priority_step_ms=0, max_jobs=0, max_expirations=3)


def snapshot(queue: str, ready: int = 0) -> QueueSnapshot:
    return QueueSnapshot(
        queue=queue, now_ms=5, ready=ready, delayed=0, inflight=0, dead=0, unreadable=0, oldest_ready_ms=0,
        paused=False, settings=SETTINGS, counters=dict.fromkeys(pb.QueueCounters.DESCRIPTOR.fields_by_name, 1 << 60),
    )  # fmt: skip


class Source:
    """Snapshots that count how often they are asked for changes."""

    def __init__(self) -> None:
        self.version, self.now_ms, self.made = 0, 5, 0
        self.changes: dict[int, Changes] = {}

    def since(self, version: int) -> Changes:
        self.made += 1
        return self.changes.get(version, Changes(False, [], []))


def frames_of(source: Source) -> StatsFrames:
    return StatsFrames(cast("Snapshots", source))


def parse(frames: object) -> list[pb.WatchStatsResponse]:
    return [pb.WatchStatsResponse.FromString(frame) for frame in cast("list[bytes]", frames)]


def test_frames_are_made_once_for_a_view_and_again_for_the_next_version() -> None:
    source = Source()
    frames = frames_of(source)
    source.version = 7
    _, first = frames.since(6, "ann", lambda _: True)
    assert frames.since(6, "ann", lambda _: True) == (7, first)
    assert source.made == 1
    frames.since(5, "ann", lambda _: True)
    frames.since(6, "bob", lambda _: True)
    assert source.made == 3
    source.version = 8
    frames.since(6, "ann", lambda _: True)
    assert source.made == 4


def test_a_moment_without_news_is_an_empty_frame() -> None:
    source = Source()
    (frame,) = parse(frames_of(source).since(6, "ann", lambda _: True)[1])
    assert frame == pb.WatchStatsResponse(time=frame.time)
    assert frame.time.ToMilliseconds() == 5


def test_twenty_four_thousand_queues_with_long_names_come_in_frames_of_bounded_size() -> None:
    source = Source()
    names = [f"{i:0128d}" for i in range(24_000)]
    source.changes[0] = Changes(True, [snapshot(name) for name in names], [])
    source.changes[1] = Changes(False, [snapshot("new")], names)
    _, raw = frames_of(source).since(0, "ann", lambda _: True)
    assert max(map(len, raw)) < 512 << 10
    frames = parse(raw)
    assert [one.queue for frame in frames for one in frame.queues] == names
    assert [frame.whole for frame in frames] == [True] + [False] * (len(frames) - 1)
    assert [frame.more for frame in frames] == [True] * (len(frames) - 1) + [False]
    frames = parse(frames_of(source).since(1, "ann", lambda _: True)[1])
    assert [name for frame in frames for name in frame.forgotten] == names
    assert max(len(frame.forgotten) for frame in frames) == FRAME_QUEUES_MAX
    assert [one.queue for frame in frames for one in frame.queues] == ["new"]


def test_a_view_shows_its_queues_alone() -> None:
    source = Source()
    source.changes[1] = Changes(False, [snapshot("mine"), snapshot("theirs")], ["mine-2", "theirs-2"])
    (frame,) = parse(frames_of(source).since(1, "ann", lambda queue: queue.startswith("mine"))[1])
    assert ([one.queue for one in frame.queues], list(frame.forgotten)) == (["mine"], ["mine-2"])
