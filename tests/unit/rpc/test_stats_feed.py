"""Many watchers, one poller."""

import asyncio
from typing import cast

import pytest

from relay_server import errors
from relay_server.engine.snapshots import Snapshots
from relay_server.rpc.stats_feed import StatsFeed


class Source:
    """Snapshots that count how often they are refreshed; each refresh waits for a permit."""

    def __init__(self) -> None:
        self.version = self.reads = 0
        self.permits = asyncio.Semaphore(0)
        self.failure: Exception | None = None

    async def refresh(self) -> None:
        await self.permits.acquire()
        self.reads += 1
        if self.failure is not None:
            raise self.failure
        self.version += 1


def feed_on(source: Source) -> StatsFeed:
    return StatsFeed(cast("Snapshots", source), interval_s=0)


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


async def test_close_ends_watchers_and_those_who_come_later() -> None:
    feed = feed_on(Source())
    with feed.watching() as one:
        feed.close()
        with pytest.raises(errors.Draining):
            await asyncio.wait_for(one(), 5)
    with feed.watching() as late, pytest.raises(errors.Draining):
        await asyncio.wait_for(late(), 5)
    assert not feed.polling
