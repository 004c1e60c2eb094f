"""Many watchers, one poller; frames of bounded size, made once for all watchers of a view."""

import asyncio
from typing import cast

import pytest

from relay.v1 import admin_service_pb2 as pb
from relay_server import errors
from relay_server.engine.snapshots import Changes, Snapshots
from relay_server.model import QueueSnapshot, Settings
from relay_server.rpc.stats_feed import FRAME_QUEUES_MAX, StatsFeed

SETTINGS = Settings(rate=0, burst=0, priority_step_ms=0, max_jobs=0, max_expirations=3)


def snapshot(queue: str, ready: int = 0) -> QueueSnapshot:
    return QueueSnapshot(
        queue=queue, now_ms=5, ready=ready, delayed=0, inflight=0, dead=0, unreadable=0, oldest_ready_ms=0,
        paused=False, settings=SETTINGS, counters=dict.fromkeys(pb.QueueCounters.DESCRIPTOR.fields_by_name, 1 << 60),
    )  # fmt: skip


class Source:
    """Snapshots that count how often they are refreshed; each refresh waits for a permit."""

    def __init__(self) -> None:
        self.version = self.reads = 0
        self.now_ms = 5
        self.permits = asyncio.Semaphore(0)
        self.failure: Exception | None = None
        self.changes: dict[int, Changes] = {}
        self.made = 0

    async def refresh(self) -> None:
        await self.permits.acquire()
        self.reads += 1
        if self.failure is not None:
            raise self.failure
        self.version += 1

    def since(self, version: int) -> Changes:
        self.made += 1
        return self.changes.get(version, Changes(False, [], []))


def feed_on(source: Source) -> StatsFeed:
    return StatsFeed(cast("Snapshots", source), interval_s=0)


def parse(frames: object) -> list[pb.WatchStatsResponse]:
    return [pb.WatchStatsResponse.FromString(frame) for frame in cast("list[bytes]", frames)]


async def test_one_read_serves_all_watchers_and_a_late_one_gets_the_last() -> None:
    source = Source()
    feed = feed_on(source)
    with feed.watching() as one, feed.watching() as two:
        source.permits.release()
        assert await asyncio.wait_for(one(), 5) == await asyncio.wait_for(two(), 5) == 1
        with feed.watching() as late:
            await asyncio.wait_for(late(), 5)
        assert source.reads == 1
        source.permits.release()
        await asyncio.wait_for(one(), 5)
        assert source.reads == 2
    assert not feed.polling


async def test_a_slow_watcher_gets_the_newest() -> None:
    source = Source()
    feed = feed_on(source)
    with feed.watching() as quick, feed.watching() as slow:
        for _ in range(3):
            source.permits.release()
            await asyncio.wait_for(quick(), 5)
        assert await asyncio.wait_for(slow(), 5) == 3


async def test_a_failure_reaches_the_watchers_and_the_next_watcher_starts_anew() -> None:
    source = Source()
    feed = feed_on(source)
    source.failure = errors.StoreUnavailable()
    with feed.watching() as one:
        source.permits.release()
        with pytest.raises(errors.StoreUnavailable):
            await asyncio.wait_for(one(), 5)
    source.failure = None
    with feed.watching() as again:
        source.permits.release()
        assert await asyncio.wait_for(again(), 5) == 1


async def test_close_ends_who_watches_and_who_comes() -> None:
    feed = feed_on(Source())
    with feed.watching() as one:
        feed.close()
        with pytest.raises(errors.Draining):
            await asyncio.wait_for(one(), 5)
    with feed.watching() as late, pytest.raises(errors.Draining):
        await asyncio.wait_for(late(), 5)
    assert not feed.polling


async def test_frames_are_made_once_for_a_view_and_again_for_the_next_version() -> None:
    source = Source()
    feed = feed_on(source)
    source.version = 7
    _, first = feed.frames("ann", lambda _: True, 6)
    assert feed.frames("ann", lambda _: True, 6) == (7, first)
    assert source.made == 1
    feed.frames("ann", lambda _: True, 5)
    feed.frames("bob", lambda _: True, 6)
    assert source.made == 3
    source.version = 8
    feed.frames("ann", lambda _: True, 6)
    assert source.made == 4


async def test_a_moment_without_news_is_an_empty_frame() -> None:
    source = Source()
    (frame,) = parse(feed_on(source).frames("ann", lambda _: True, 6)[1])
    assert frame == pb.WatchStatsResponse(time=frame.time)
    assert frame.time.ToMilliseconds() == 5


async def test_twenty_four_thousand_queues_with_long_names_come_in_frames_of_bounded_size() -> None:
    source = Source()
    names = [f"{i:0128d}" for i in range(24_000)]
    source.changes[0] = Changes(True, [snapshot(name) for name in names], [])
    source.changes[1] = Changes(False, [snapshot("new")], names)
    _, raw = feed_on(source).frames("ann", lambda _: True, 0)
    assert max(map(len, raw)) < 512 << 10
    frames = parse(raw)
    assert [one.queue for frame in frames for one in frame.queues] == names
    assert [frame.whole for frame in frames] == [True] + [False] * (len(frames) - 1)
    assert [frame.more for frame in frames] == [True] * (len(frames) - 1) + [False]
    frames = parse(feed_on(source).frames("ann", lambda _: True, 1)[1])
    assert [name for frame in frames for name in frame.forgotten] == names
    assert max(len(frame.forgotten) for frame in frames) == FRAME_QUEUES_MAX
    assert [one.queue for frame in frames for one in frame.queues] == ["new"]


async def test_a_view_shows_its_queues_alone() -> None:
    source = Source()
    source.changes[1] = Changes(False, [snapshot("mine"), snapshot("theirs")], ["mine-2", "theirs-2"])
    (frame,) = parse(feed_on(source).frames("ann", lambda queue: queue.startswith("mine"), 1)[1])
    assert ([one.queue for one in frame.queues], list(frame.forgotten)) == (["mine"], ["mine-2"])
