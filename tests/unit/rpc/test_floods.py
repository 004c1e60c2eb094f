"""Refusals of calls without a valid credential: told at once, until they are a flood."""

import asyncio

import pytest

from relay_server.rpc import floods
from relay_server.rpc.floods import (
    CANCELLED_PER_S_MAX,
    REFUSALS_MAX,
    WAIT_S_MAX,
    WAIT_S_MIN,
    Floods,
    wait_s,
)

PEER, ADDRESS = "ipv4:192.0.2.7:50312", "192.0.2.7"


async def waits(one: Floods, peer: str = PEER, address: str = ADDRESS) -> bool:
    task = asyncio.create_task(one.refused(peer, address))
    await asyncio.sleep(0)
    done = task.done()
    task.cancel()
    return not done


@pytest.fixture
async def flooded() -> Floods:
    one = Floods()
    for _ in range(REFUSALS_MAX):
        assert not await waits(one)
    return one


async def test_the_calls_of_a_flood_wait_and_those_of_others_do_not(flooded: Floods) -> None:
    assert await waits(flooded)
    assert not await waits(flooded, "ipv4:192.0.2.8:50312", "192.0.2.8")


async def test_a_call_on_a_connection_of_known_callers_does_not_wait(flooded: Floods) -> None:
    flooded.known(PEER)
    assert not await waits(flooded)
    assert await waits(flooded, "ipv4:192.0.2.7:50313")


async def test_a_call_through_the_gateway_does_not_wait(flooded: Floods) -> None:
    assert not await waits(flooded, "unix:")


async def test_only_so_many_wait(flooded: Floods, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(floods, "WAITING_MAX", 1)
    task = asyncio.create_task(flooded.refused(PEER, ADDRESS))
    await asyncio.sleep(0)
    assert not await waits(flooded)
    task.cancel()


async def test_nobody_waits_once_the_server_stops(flooded: Floods) -> None:
    task = asyncio.create_task(flooded.refused(PEER, ADDRESS))
    await asyncio.sleep(0)
    flooded.end()
    await asyncio.wait_for(task, 1)
    await asyncio.wait_for(flooded.refused(PEER, ADDRESS), 1)


async def test_streams_that_are_refused_over_and_over_wait() -> None:
    one = Floods()
    for _ in range(REFUSALS_MAX):
        await asyncio.wait_for(one.stream_refused("mallory"), 1)
    late = asyncio.create_task(one.stream_refused("mallory"))
    await asyncio.wait_for(one.stream_refused("shop"), 1)
    assert not late.done()
    one.end()
    await asyncio.wait_for(late, 1)


@pytest.mark.parametrize(("waiting", "shortest", "longest"), [(1, 1, 3), (100, 5, 15), (4000, 15, 45)])
def test_the_more_wait_the_longer_they_wait(waiting: int, shortest: float, longest: float) -> None:
    """So about ten of one caller's are told a second, until they would wait for longer than anybody would."""
    seconds = [wait_s(waiting) for _ in range(1000)]
    assert shortest * 0.99 <= min(seconds) < max(seconds) <= longest * 1.01
    assert shortest >= WAIT_S_MIN / 2
    assert longest <= WAIT_S_MAX * 1.5


def address_of(peer: str) -> str:
    return peer.split(":")[1]


async def test_calls_of_a_flooding_address_begin_ten_a_second(flooded: Floods) -> None:
    other = "ipv4:192.0.2.7:50313"
    assert [round(flooded.pace(one, address_of), 1) for one in (PEER, other, PEER)] == [0, 0.1, 0.2]
    assert flooded.pace("ipv4:192.0.2.8:50312", address_of) == 0


async def test_known_connections_of_a_flooding_address_begin_as_many_as_they_like(flooded: Floods) -> None:
    flooded.known(PEER)
    assert [flooded.pace(one, address_of) for one in (PEER, PEER, "unix:")] == [0, 0, 0]


async def test_a_connection_that_cancels_its_calls_is_slowed_down_with_a_token_too() -> None:
    one = Floods()
    one.known(PEER)
    for _ in range(CANCELLED_PER_S_MAX):
        assert one.pace(PEER, address_of) == 0
        one.cancelled(PEER)
    waits = [one.pace(PEER, address_of) for _ in range(3)]
    assert waits == pytest.approx([0, 0.02, 0.04], abs=0.005)
    assert one.pace("ipv4:192.0.2.7:50313", address_of) == 0


async def test_turns_that_are_over_are_forgotten_once_a_second_however_many_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A look at each of thousands for every call would cost more than the calls."""
    monkeypatch.setattr(floods, "_KNOWN_MAX", 10)
    now = 100.0
    monkeypatch.setattr("relay_server.rpc.floods.time.monotonic", lambda: now)
    one = Floods()
    for number in range(50):
        one._in_turn(f"peer-{number}", 10)
    now += 0.5
    one._in_turn("another", 10)
    assert len(one._free_at) == 51
    now += 0.6
    one._in_turn("one more", 10)
    assert set(one._free_at) == {"one more"}
