"""leave: a name goes unless it was used since."""

import pytest

from relay_server.engine import keys
from tests.support.engine import Lab


@pytest.mark.covers("leave", "LEFT", "USED", "UNKNOWN")
async def test_a_name_leaves_unless_it_was_used_since(lab: Lab) -> None:
    await lab.script("enter", lab.clock(), 0, "a", "b")
    assert await lab.script("leave", "a", int(lab.clock()) - 1) == [b"USED"]
    assert await lab.script("leave", "a", lab.clock()) == [b"LEFT"]
    assert await lab.script("leave", "a", "") == [b"UNKNOWN"]
    assert await lab.script("leave", "b", "") == [b"LEFT"]
    assert await lab.command("EXISTS", keys.QUEUES) == 0
