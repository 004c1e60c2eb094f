"""Wake-ups: which channels are subscribed, how their messages are read, and that a bad one ends nothing."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from relay_server import tasks
from relay_server.engine import Wakeups
from relay_server.engine.wakeups import Cancelled, Due, Ready, Subscribed, WakeUp, parse_wake_up
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
    wakeups.listen("first", lambda _: None)
    await channels.asked.wait()
    wakeups.listen("second", lambda _: None)
    channels.let.set()
    await eventually(lambda: channels.subscribed == {"relay:{first}:wake", "relay:{second}:wake"}, within=2)


async def test_a_message_that_cannot_be_read_ends_nothing(wakeups: Wakeups, channels: Channels) -> None:
    got: asyncio.Queue[WakeUp] = asyncio.Queue()
    wakeups.listen("one", got.put_nowait)
    channels.let.set()
    with capture_logs() as logs:
        for message in (b"due whatever", b"ready"):
            channels.messages.put_nowait((b"relay:{one}:wake", message))
        async with asyncio.timeout(2):
            assert await got.get() == Ready()
    refused = [line["channel"] for line in logs if line["event"] == "message_refused"]
    assert (refused, got.empty()) == (["relay:{one}:wake"], True)


@pytest.mark.parametrize(
    ("message", "wake_up"),
    [
        (b"", Subscribed()),
        (b"ready", Ready()),
        (b"due 1700000000123", Due(1_700_000_000_123)),
        (b"due 0", Due(0)),
        (b"cancel " + b"a" * 16, Cancelled(frozenset({b"a" * 16}))),
        # Ids are any bytes, spaces too.
        (b"cancel " + b" " * 16 + bytes(16), Cancelled(frozenset({b" " * 16, bytes(16)}))),
    ],
)
def test_messages_of_a_queue(message: bytes, wake_up: WakeUp) -> None:
    assert parse_wake_up(message) == wake_up


@pytest.mark.parametrize(
    "message",
    [
        b" ", b"readyy", b"ready ", b"ready 1", b"due", b"due ", b"due 1.5", b"due inf", b"due whatever",
        b"cancel", b"cancel ", b"cancel " + b"a" * 15, b"cancel " + b"a" * 17, b"\xff",
    ],
)  # fmt: skip
def test_any_other_message_is_malformed(message: bytes) -> None:
    with pytest.raises(ValueError):
        parse_wake_up(message)
