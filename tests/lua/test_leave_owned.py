"""leave_owned: a name goes unless it was used since, and its owner may make another."""

import pytest

from relay_server.engine import keys
from tests.support.engine import Lab


@pytest.mark.covers("leave_owned", "LEFT", "USED", "UNKNOWN")
async def test_a_name_leaves_unless_it_was_used_since(lab: Lab) -> None:
    await lab.script("enter_owned", lab.clock(), "ann", 0, 0, "a", "b")
    assert await lab.script("leave_owned", "a", int(lab.clock()) - 1) == [b"USED"]
    assert await lab.script("leave_owned", "a", lab.clock()) == [b"LEFT"]
    assert await lab.script("leave_owned", "a", "") == [b"UNKNOWN"]
    assert await lab.command("HGET", keys.OWNED, "ann") == b"1"
    assert await lab.script("leave_owned", "b", "") == [b"LEFT"]
    assert await lab.command("EXISTS", *keys.NAMES_KEYS.values()) == 0, "nothing is left of anybody"
