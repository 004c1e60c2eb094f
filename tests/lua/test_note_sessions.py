"""note_sessions: entries live as long as their server renews them, and leave nothing behind."""

from typing import Any

import pytest
from redis import exceptions as redis_errors

from relay_server import errors, limits
from relay_server.engine import keys
from relay_server.engine.lua_script import Arg
from relay_server.engine.roster import KEPT_MS, NOTED_AT_ONCE, WorkerEntry, chunks, pack, unpack
from tests.support.engine import Lab


def entry(
    *,
    worker: str = "w",
    queues: tuple[str, ...] = ("mail",),
    slots: int = 8,
    server: str = "server-1",
    owner: str = "shop",
    connected: bool = True,
    in_flight: int = 0,
) -> WorkerEntry:
    return WorkerEntry(
        session_id="",
        worker_id=worker,
        queues=tuple((name, 1) for name in queues),
        max_in_flight=slots,
        in_flight=in_flight,
        client_version="py/1",
        connect_ms=1,
        server_id=server,
        connected=connected,
        owner=owner,
    )


async def listed(lab: Lab) -> dict[str, WorkerEntry]:
    return {one.session_id: one for one in (await lab.engine.roster.page(b"", 500)).entries}


async def sizes(lab: Lab) -> tuple[int, int, int, int]:
    """How many members each key has: entry, seen, name, crew."""
    found: Any = [await lab.command("HLEN", keys.SESSION_KEYS["entry"])]
    for name in ("seen", "name", "crew"):
        found.append(await lab.command("ZCARD", keys.SESSION_KEYS[name]))
    return tuple(found)


def test_an_entry_is_read_as_it_was_written() -> None:
    for one in (entry(), entry(worker="ä\0" * 30, owner="", queues=("q" * 128,) * 32, slots=10_000)):
        assert unpack("", pack(one)) == one
        for cut in range(len(pack(one))):
            assert unpack("", pack(one)[:cut]) is None


async def test_a_session_that_ends_leaves_nothing_behind(lab: Lab) -> None:
    roster = lab.engine.roster
    await roster.note("server-1", {"s": entry(queues=("mail", "video")), "t": entry()})
    assert await sizes(lab) == (2, 2, 2, 3)
    await roster.note("server-1", {"s": None, "t": None, "unknown": None})
    assert await sizes(lab) == (0, 0, 0, 0)


async def test_a_session_that_changes_is_found_by_what_it_is_now(lab: Lab) -> None:
    roster = lab.engine.roster
    await roster.note("server-1", {"s": entry(worker="a", queues=("mail", "video"))})
    await roster.note("server-1", {"s": entry(worker="b", queues=("video", "audio", "text"), in_flight=3)})
    assert await sizes(lab) == (1, 1, 1, 3)
    assert (await listed(lab))["s"].worker_id == "b"
    await roster.note("server-1", {"s": entry(worker="b", connected=False)})
    assert await sizes(lab) == (1, 1, 1, 0)
    assert not (await listed(lab))["s"].connected


async def test_a_session_that_moved_to_another_server_is_not_removed_by_the_first(lab: Lab) -> None:
    roster = lab.engine.roster
    await roster.note("server-1", {"s": entry()})
    await roster.note("server-2", {"s": entry(server="server-2")})
    await roster.note("server-1", {"s": None})
    assert (await listed(lab))["s"].server_id == "server-2"
    await roster.note("server-2", {"s": None})
    assert await sizes(lab) == (0, 0, 0, 0)


async def test_nobody_replaces_another_principals_session(lab: Lab) -> None:
    """The id of a session comes from its client when it moves to another server."""
    roster = lab.engine.roster
    await roster.note("server-1", {"s": entry(owner="shop")})
    await roster.note("server-2", {"s": entry(owner="mallory", server="server-2", worker="x")})
    assert (await listed(lab))["s"].worker_id == "w"


async def test_what_nobody_renews_is_removed_some_at_a_time(lab: Lab) -> None:
    """A killed server leaves as many entries as it had streams."""
    roster = lab.engine.roster
    for at in range(0, 100, NOTED_AT_ONCE):
        some = {f"s{i}": entry(queues=("a", "b"), worker=f"w{i}") for i in range(at, at + NOTED_AT_ONCE)}
        assert not await roster.note("dead", some)
    lab.clock.advance(KEPT_MS)
    assert not await roster.note("server-1", {"s": entry()})
    lab.clock.advance(1)
    steps = 1
    while await roster.note("server-1", {}):
        steps += 1
    assert steps in {4, 5}, "25 a script"
    assert set(await listed(lab)) == {"s"}
    assert await sizes(lab) == (1, 1, 1, 1)


async def test_sessions_of_many_queues_are_removed_fewer_at_a_time(lab: Lab) -> None:
    roster, many = lab.engine.roster, tuple(f"q{i}" for i in range(32))
    for i in range(20):
        await roster.note("dead", {f"s{i}": entry(queues=many)})
    lab.clock.advance(KEPT_MS + 1)
    steps = 1
    while await roster.note("server-1", {}):
        steps += 1
    assert steps == 5
    assert await sizes(lab) == (0, 0, 0, 0)


def test_a_script_notes_few_sessions_of_many_queues() -> None:
    few, many = entry(queues=("a",)), entry(queues=("q",) * 32)
    for one, most in ((few, NOTED_AT_ONCE), (many, 4), (None, 4)):
        parts = list(chunks((f"s{i}", one) for i in range(101)))
        assert max(map(len, parts)) == most
        assert [key for part in parts for key in part] == [f"s{i}" for i in range(101)]


async def test_entries_are_bounded_in_all(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SESSIONS_NOTED_MAX", 3)
    roster = lab.engine.roster
    await roster.note("server-1", {f"s{i}": entry() for i in range(5)})
    assert (await sizes(lab))[:3] == (3, 3, 3)
    await roster.note("server-1", {"s0": entry(in_flight=5)})
    assert (await listed(lab))["s0"].in_flight == 5, "those that are there are renewed"
    await roster.note("server-1", {"s0": None, "s4": entry()})
    assert set(await listed(lab)) == {"s1", "s2", "s4"}


async def test_an_entry_that_cannot_be_read_stops_no_others(lab: Lab) -> None:
    roster = lab.engine.roster
    await roster.note("server-1", {"s": entry()})
    await lab.command("HSET", keys.SESSION_KEYS["entry"], "s", b"?")
    await lab.command("HSET", keys.SESSION_KEYS["entry"], "t", b"")
    await roster.note("server-1", {"t": entry(), "u": entry()})
    assert set(await listed(lab)) == {"t", "u"}
    lab.clock.advance(KEPT_MS + 1)
    await roster.note("server-1", {"u": entry()})
    assert await lab.command("HLEN", keys.SESSION_KEYS["entry"]) == 1


@pytest.mark.parametrize("name", keys.SESSION_KEYS)
async def test_i3_a_key_of_a_wrong_type_is_an_error_that_changes_nothing(lab: Lab, name: str) -> None:
    roster, others = lab.engine.roster, {**keys.SESSION_KEYS}
    await roster.note("server-1", {"s": entry()})
    key = others.pop(name)
    await lab.command("SET", key, "text")
    before = [await lab.command("DUMP", other) for other in others.values()]
    with pytest.raises(errors.WrongState, match=f"{name} of the whole store is a string"):
        await roster.note("server-1", {"s": None, "t": entry()})
    assert [await lab.command("DUMP", other) for other in others.values()] == before


async def test_i3_missing_arguments_change_nothing(lab: Lab) -> None:
    wrong: list[list[Arg]] = [
        [],
        ["", "server-1"],
        ["", "server-1", 1, 1, "s"],
        ["", "server-1", "x", 1],
        ["", "s", 1, "x"],
    ]
    for args in wrong:
        with pytest.raises(redis_errors.ResponseError, match="RELAYARG"):
            await lab.engine.scripts.run("note_sessions", keys.SESSION_KEYS, args)
    assert await sizes(lab) == (0, 0, 0, 0)


async def test_an_entry_of_the_longest_names_is_small(lab: Lab) -> None:
    """What a session can make the store keep: docs/security.md has the figure."""
    longest = entry(
        worker="\x01" * 128, owner="o" * 300, queues=tuple(f"{i:02}" + "q" * 126 for i in range(32))
    )
    await lab.engine.roster.note("s" * 255, {"x" * 64: longest._replace(client_version="\x01" * 64)})
    kept = 0
    for key in keys.SESSION_KEYS.values():
        kept += await lab.command("MEMORY", "USAGE", key, "SAMPLES", "0") or 0
    assert kept < 18 << 10, kept
