"""Units of the wake-ups: which channels are subscribed, and what a listener's defect costs."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from relay_server import tasks
from relay_server.engine import Wakeups
from tests.support.relay import eventually


class Channels:
    """A pub/sub connection whose subscribing waits until it is let."""

    def __init__(self) -> None:
        self.subscribed: set[str] = set()
        self.asked = asyncio.Event()
        self.let = asyncio.Event()
        self.messages: asyncio.Queue[tuple[bytes, bytes]] = asyncio.Queue()

    async def subscribe(self, *channels: str) -> None:
        self.asked.set()
        await self.let.wait()
        self.subscribed.update(channels)

    async def unsubscribe(self, *channels: str) -> None:
        self.subscribed.difference_update(channels)

    async def get(self) -> tuple[bytes, bytes] | None:
        return await self.messages.get()

    async def aclose(self) -> None:
        pass


@pytest.fixture
async def channels() -> Channels:
    return Channels()


@pytest.fixture
async def wakeups(channels: Channels) -> AsyncIterator[Wakeups]:
    wakeups = Wakeups(lambda: channels)
    running = asyncio.create_task(wakeups.run())
    yield wakeups
    await tasks.end([running])


async def test_a_queue_listened_to_while_others_are_being_subscribed(
    wakeups: Wakeups, channels: Channels
) -> None:
    wakeups.listen("first", lambda message: None)
    await channels.asked.wait()
    wakeups.listen("second", lambda message: None)
    channels.let.set()
    await eventually(lambda: channels.subscribed == {"relay:{first}:wake", "relay:{second}:wake"}, within=2)


async def test_a_message_that_a_listener_cannot_read_ends_nothing(
    wakeups: Wakeups, channels: Channels
) -> None:
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    def listener(message: bytes) -> None:
        float(message)
        heard.put_nowait(message)

    wakeups.listen("one", listener)
    channels.let.set()
    for message in (b"due whatever", b"1"):
        channels.messages.put_nowait((b"relay:{one}:wake", message))
    async with asyncio.timeout(2):
        assert await heard.get() == b"1"
