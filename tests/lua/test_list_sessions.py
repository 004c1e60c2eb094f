"""list_sessions: pages by worker and session, whatever ids and names hold."""

from tests.lua.test_note_sessions import entry
from tests.support.engine import Lab


async def listed(lab: Lab, size: int) -> list[tuple[str, str]]:
    found, after = list[tuple[str, str]](), b""
    while True:
        page = await lab.engine.roster.page(after, size)
        found += [(one.worker_id, one.session_id) for one in page.entries]
        after = page.last
        if not after:
            return found


async def test_pages_are_in_order_and_complete(lab: Lab) -> None:
    awkward = [("", "s1"), ("a", "s2"), ("a", "s10"), ("a\0b", "s3"), ("ä", "s\0x"), ("b" * 128, "s" * 64)]
    for worker, session in awkward:
        await lab.engine.roster.note("server-1", {session: entry(worker=worker)})
    ordered = sorted(awkward, key=lambda one: f"{one[0]}\0{one[1]}".encode())
    for size in (1, 2, 3, 100):
        assert await listed(lab, size) == ordered


async def test_a_stale_one_is_passed_over_before_it_is_removed(lab: Lab) -> None:
    await lab.engine.roster.note("server-1", {"s": entry()})
    lab.clock.advance(60_000)
    (shown,) = (await lab.engine.roster.page(b"", 10)).entries
    assert shown.seen_ms == lab.clock.now_ms - 60_000
    lab.clock.advance(1)
    assert (await lab.engine.roster.page(b"", 10)).entries == []


async def test_what_a_server_of_another_version_wrote_is_passed_over(lab: Lab) -> None:
    await lab.engine.roster.note("server-1", {"s": entry(), "t": entry()})
    await lab.command("HSET", b"relay:{@workers}:entry", "s", b"\x01")
    assert [one.session_id for one in (await lab.engine.roster.page(b"", 10)).entries] == ["t"]
