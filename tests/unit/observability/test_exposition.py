"""Rendering: how often, and in what steps."""

import asyncio
import gzip
import time
from collections.abc import Iterator

from relay_server.observability import exposition
from relay_server.observability.exposition import Exposition


class Parts:
    def __init__(self, parts: int = 3, takes_s: float = 0.0) -> None:
        self.renderings = 0
        self._parts = parts
        self._takes_s = takes_s

    def __call__(self) -> Iterator[str]:
        self.renderings += 1
        for number in range(self._parts):
            ends = time.perf_counter() + self._takes_s
            while time.perf_counter() < ends:
                pass
            yield f"part {number}\n"


async def test_many_scrapers_get_one_rendering_packed_or_not() -> None:
    parts = Parts()
    made = Exposition(parts)
    found = await asyncio.gather(*(made.text() for _ in range(20)), *(made.packed() for _ in range(20)))
    assert set(found[:20]) == {b"part 0\npart 1\npart 2\n"}
    assert {gzip.decompress(one) for one in found[20:]} == set(found[:20])
    assert parts.renderings == 1


async def test_scrapers_that_leave_do_not_have_it_rendered_again() -> None:
    parts = Parts(parts=50, takes_s=exposition._STEP_S)
    made = Exposition(parts)
    for _ in range(5):
        asking = asyncio.create_task(made.text())
        await asyncio.sleep(0)
        asking.cancel()
    assert (await made.text()).count(b"part") == 50
    assert parts.renderings == 1


async def test_the_loop_has_its_turns_while_it_is_rendered() -> None:
    parts = Parts(parts=30, takes_s=exposition._STEP_S)
    rendering = asyncio.create_task(Exposition(parts).text())
    turns = 0
    while not rendering.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns >= 30
