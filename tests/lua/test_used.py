"""used: queues between two ages of their last use."""

from tests.support.engine import Lab


async def test_queues_by_their_last_use(lab: Lab) -> None:
    for name in ("old", "middle", "new"):
        await lab.script("enter", lab.clock(), 0, name)
        lab.clock.advance(1000)
    now = lab.clock().encode()
    assert await lab.script("used", now, "", 0, 0, -1) == [now, b"3", b"old", b"middle", b"new"]
    assert await lab.script("used", now, 2000, 0, 0, -1) == [now, b"3", b"middle", b"new"]
    assert await lab.script("used", now, "", 2000, 0, -1) == [now, b"3", b"old", b"middle"]
    assert await lab.script("used", now, "", 2000, 1, 1) == [now, b"3", b"middle"]
