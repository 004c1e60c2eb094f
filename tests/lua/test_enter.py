"""enter: which queues there are; all that a call names or none."""

import pytest

from relay_server import errors
from relay_server.engine import keys
from tests.support.engine import Lab


@pytest.mark.covers("enter", "OK", "FULL")
async def test_all_or_none_within_what_the_store_may_hold(lab: Lab) -> None:
    assert await lab.script("enter", lab.clock(), 2, "a", "b", "a") == [b"OK", b"a", b"b"]
    assert await lab.script("enter", lab.clock(), 2, "a", "c") == [b"FULL"]
    assert await lab.script("enter", lab.clock(), 2, "a", "b") == [b"OK"]
    assert await lab.script("enter", lab.clock(), 0, "x", "y") == [b"OK", b"x", b"y"]
    assert await lab.names.all() == ["a", "b", "x", "y"]
    assert await lab.command("EXISTS", keys.OWNER, keys.OWNED) == 0, "nobody's"


async def test_last_use_never_goes_back(lab: Lab) -> None:
    await lab.names.enter("a")
    now = lab.clock().encode()
    lab.clock.advance(-5000)
    await lab.another_engine("server-2").names.enter("a")
    assert await lab.script("used", now, 0, 0, 0, -1) == [now, b"1", b"a"]


async def test_i3_without_memory_no_queue_is_made_and_claims_go_on(lab: Lab) -> None:
    await lab.command("CONFIG", "SET", "maxmemory", "1")
    try:
        with pytest.raises(errors.StoreOutOfMemory):
            await lab.names.enter("a")
        await lab.names.enter_all(["a"])
    finally:
        await lab.command("CONFIG", "SET", "maxmemory", "0")
    assert await lab.names.all() == []
