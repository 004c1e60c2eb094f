"""renew: known queues are in use; a name that is not known stays unknown."""

from tests.support.engine import Lab


async def test_only_known_names_are_renewed(lab: Lab) -> None:
    await lab.script("enter", lab.clock(), 0, "a", "b")
    lab.clock.advance(1000)
    assert await lab.script("renew", lab.clock(), "a", "stranger") == [b"stranger"]
    assert await lab.script("used", lab.clock(), 999, 0, 0, -1) == [lab.clock().encode(), b"2", b"a"]
    assert await lab.names.all() == ["a", "b"]
