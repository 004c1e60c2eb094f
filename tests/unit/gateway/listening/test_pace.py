"""One request begins in each turn of the loop."""

import asyncio

from relay_server.gateway.listening.pace import Pace


async def test_one_begins_in_each_turn_in_the_order_they_came() -> None:
    pace, turn, begun = Pace(), 0, list[tuple[int, int]]()

    async def begin(number: int) -> None:
        await pace.take()
        begun.append((turn, number))

    beginning = [asyncio.ensure_future(begin(number)) for number in range(20)]
    while len(begun) < 20:
        await asyncio.sleep(0)
        turn += 1
    assert [number for _, number in begun] == list(range(20))
    assert len({of for of, _ in begun}) == 20
    await asyncio.gather(*beginning)


async def test_a_request_that_leaves_holds_nobody_up() -> None:
    pace = Pace()
    await pace.take()
    left = [asyncio.ensure_future(pace.take()) for _ in range(5)]
    last = asyncio.ensure_future(pace.take())
    await asyncio.sleep(0)
    for one in left:
        one.cancel()
    await asyncio.wait_for(last, 10)
    await asyncio.gather(*left, return_exceptions=True)
    assert any(one.cancelled() for one in left)
    for _ in range(3):
        await asyncio.sleep(0)
    assert not pace._taken
