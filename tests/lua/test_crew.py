"""crew: the connected workers of one queue, and their slots, without reading those of others."""

import pytest

from relay_server.engine import roster as roster_module
from tests.lua.test_note_sessions import entry
from tests.support.engine import Lab


@pytest.mark.parametrize("step", [1, 3, 1000])
async def test_a_queue_has_its_own_connected_workers(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    monkeypatch.setattr(roster_module, "_CREW_STEP", step)
    roster = lab.engine.roster
    await roster.note("server-1", {f"s{i}": entry(queues=("mail", "video"), slots=10 + i) for i in range(6)})
    await roster.note("server-1", {"x": entry(queues=("mail2", "mai", "mail-"), slots=1000)})
    await roster.note("server-1", {"gone": entry(queues=("mail",), slots=5, connected=False)})
    assert await roster.crew("mail") == (6, 75)
    assert await roster.crew("video") == (6, 75)
    assert await roster.crew("mail2") == (1, 1000)
    assert await roster.crew("nobody") == (0, 0)
    await roster.note("server-1", {"s0": None, "s1": entry(queues=("video",), slots=1)})
    assert await roster.crew("mail") == (4, 54)
    assert await roster.crew("video") == (5, 55)
