"""Who gets the places for calls and for messages when there are too few."""

import asyncio
from typing import Any

import grpc
import pytest

from relay_server import errors
from relay_server.rpc.admission import Admission, CallBounds, Places
from tests.support.waiting import eventually


class Message:
    """A call whose message arrives when told to."""

    def __init__(self) -> None:
        self.arrived = asyncio.get_running_loop().create_future()
        self.read_begun = False

    async def read(self) -> Any:
        self.read_begun = True
        return await self.arrived


def admission(*, calls: int = 100, readers: int = 2, within_s: float = 60.0) -> Admission:
    return Admission(CallBounds(calls=calls, readers=readers, message_within_s=within_s))


def reading(admitted: Admission, key: str, message: Message) -> "asyncio.Task[bytes | None]":
    return asyncio.create_task(admitted.read(key, message))  # type: ignore[arg-type]


def test_one_caller_may_have_all_places() -> None:
    places = Places(4)
    for _ in range(4):
        assert places.free("a")
        places.take("a")
    assert not places.free("a")


def test_others_have_their_share_of_places_that_are_taken() -> None:
    places = Places(4)
    for _ in range(4):
        places.take("a")
    for _ in range(2):
        assert places.free("b")
        places.take("b")
    assert not places.free("b")
    assert places.free("c")
    places.leave("a")
    assert not places.free("a")  # it has more than its share


def test_places_are_never_more_than_twice_as_many() -> None:
    places = Places(4)
    for n in range(100):
        if places.free(f"caller {n}"):
            places.take(f"caller {n}")
    assert places.taken == 4 * 2 or places.taken == 4


def test_a_call_too_many_is_told_when_to_come_back() -> None:
    admitted = admission(calls=1)
    with admitted.call("a"):
        with pytest.raises(errors.Overloaded) as refused, admitted.call("a"):
            pass
        with admitted.call("b"):
            pass
    assert refused.value.retry_after_ms
    with admitted.call("a"):
        pass


async def test_messages_wait_for_a_place_in_the_order_in_which_they_came() -> None:
    admitted, messages = admission(readers=2), [Message() for _ in range(4)]
    tasks = [reading(admitted, "a", one) for one in messages]
    await asyncio.sleep(0)
    assert [one.read_begun for one in messages] == [True, True, False, False]
    messages[0].arrived.set_result(b"0")
    await eventually(lambda: messages[2].read_begun)
    assert not messages[3].read_begun
    messages[1].arrived.set_result(b"1")
    await eventually(lambda: messages[3].read_begun)
    for one in messages[2:]:
        one.arrived.set_result(b"")
    assert await asyncio.gather(*tasks) == [b"0", b"1", b"", b""]


async def test_a_caller_with_all_places_does_not_keep_another_from_reading() -> None:
    admitted, held, other = admission(readers=2), [Message() for _ in range(5)], Message()
    tasks = [reading(admitted, "greedy", one) for one in held]
    await asyncio.sleep(0)
    other.arrived.set_result(b"here")
    assert await asyncio.wait_for(reading(admitted, "other", other), 5) == b"here"
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def test_a_call_that_leaves_at_its_turn_passes_its_place_on() -> None:
    admitted, first, leaving, last = admission(readers=1), Message(), Message(), Message()
    tasks = [reading(admitted, "a", one) for one in (first, leaving, last)]
    await asyncio.sleep(0)
    first.arrived.set_result(b"")
    await tasks[0]
    tasks[1].cancel()
    await eventually(lambda: last.read_begun)
    last.arrived.set_result(b"")
    assert await tasks[2] == b""


async def test_a_message_that_is_late_is_refused_and_its_place_is_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("relay_server.rpc.admission._LOOK_EVERY_S", 0.01)
    admitted, late, waiting = admission(readers=1, within_s=0.05), Message(), Message()
    tasks = [reading(admitted, "a", late), reading(admitted, "a", waiting)]
    for task in tasks:
        with pytest.raises(errors.Overloaded, match=r"did not arrive within 0\.05 s"):
            await asyncio.wait_for(task, 5)
    message = Message()
    message.arrived.set_result(b"in time")
    assert await admitted.read("a", message) == b"in time"  # type: ignore[arg-type]


async def test_a_client_that_leaves_is_not_taken_for_late() -> None:
    admitted, message = admission(), Message()
    task = reading(admitted, "a", message)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_client_that_sends_no_more() -> None:
    admitted, message = admission(), Message()
    message.arrived.set_result(grpc.aio.EOF)
    assert await admitted.read("a", message) is None  # type: ignore[arg-type]
