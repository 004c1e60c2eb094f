"""Sessions are noted in the roster as they come, renewed while they last, and removed when they end."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from relay_server import errors, tasks
from relay_server.claims import roster_writer as module
from relay_server.claims.roster_writer import RosterWriter
from relay_server.claims.session import Session, Terms
from relay_server.engine.roster import NOTED_AT_ONCE, WorkerEntry
from tests.support.relay import eventually


class Written:
    """A roster that takes everything, or refuses it."""

    def __init__(self) -> None:
        self.entries: dict[str, WorkerEntry] = {}
        self.calls: list[dict[str, WorkerEntry | None]] = []
        self.refuse_with: errors.RelayError | None = None
        self.stale = 0

    async def note(self, server_id: str, entries: Mapping[str, WorkerEntry | None]) -> bool:
        await asyncio.sleep(0)
        self.calls.append(dict(entries))
        if self.refuse_with is not None:
            raise self.refuse_with
        for key, entry in entries.items():
            if entry is None:
                self.entries.pop(key, None)
            else:
                self.entries[key] = entry
        self.stale = max(0, self.stale - 1)
        return self.stale > 0


@pytest.fixture
def roster() -> Written:
    return Written()


@pytest.fixture
def writer(roster: Any) -> RosterWriter:
    return RosterWriter(roster, "server")


def session(key: str) -> Session:
    terms = Terms(
        worker_id="w", client_version="", queues={"q": 1}, max_in_flight=1, lease_ms=1000, grace_ms=0
    )
    return Session(key, terms, "anyone")


async def test_a_session_is_noted_and_removed(roster: Written, writer: RosterWriter) -> None:
    one = session("s")
    writer.note(one, connected=True)
    await writer.flush()
    entry = roster.entries["s"]
    assert (entry.worker_id, entry.queues, entry.connected, entry.owner) == ("w", (("q", 1),), True, "anyone")
    writer.note(one, connected=False)
    await writer.flush()
    assert not roster.entries["s"].connected
    writer.forget(one)
    await writer.flush()
    assert roster.entries == {}


async def test_a_session_that_comes_and_goes_between_two_flushes_is_never_written(
    roster: Written, writer: RosterWriter
) -> None:
    for i in range(1000):
        passing = session(f"s{i}")
        writer.note(passing, connected=True)
        writer.forget(passing)
    await writer.flush()
    assert roster.calls == []


async def test_a_session_that_ends_while_it_is_written_is_removed(
    roster: Written, writer: RosterWriter
) -> None:
    sessions = [session(f"s{i}") for i in range(3 * NOTED_AT_ONCE)]
    for one in sessions:
        writer.note(one, connected=True)
    flushing = asyncio.create_task(writer.flush())
    await asyncio.sleep(0)
    for one in sessions:
        writer.forget(one)
    await flushing
    await writer.flush()
    assert roster.entries == {}
    assert max(map(len, roster.calls)) == NOTED_AT_ONCE
    assert len(roster.calls) >= 3 + 3 * NOTED_AT_ONCE // 4, "a removal may be of many queues"


async def test_sessions_are_renewed_also_while_others_come_and_go(
    monkeypatch: pytest.MonkeyPatch, roster: Written, writer: RosterWriter
) -> None:
    monkeypatch.setattr(module, "FLUSH_S", 0.001)
    monkeypatch.setattr(module, "RENEW_S", 0.05)
    lasting, passing = session("lasting"), session("passing")
    roster.stale = 5

    async def come_and_go() -> None:
        while True:
            writer.note(passing, connected=True)
            await asyncio.sleep(0)

    running = [asyncio.create_task(writer.run(lambda: [lasting])), asyncio.create_task(come_and_go())]
    try:
        await eventually(lambda: "lasting" in roster.entries)
        await eventually(lambda: not roster.stale, what="what other servers left behind is removed")
    finally:
        await tasks.end(running)


@pytest.mark.parametrize("error", [errors.StoreOutOfMemory(), errors.StoreUnavailable()])
async def test_a_store_that_takes_nothing_now_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, error: errors.RelayError, roster: Written, writer: RosterWriter
) -> None:
    monkeypatch.setattr(module, "FLUSH_S", 0.001)
    monkeypatch.setattr(module, "RENEW_S", 0.001)
    roster.refuse_with = error
    running = asyncio.create_task(writer.run(lambda: [session("s")]))
    try:
        await eventually(lambda: running.done() or len(roster.calls) > 1)
        roster.refuse_with = None
        await eventually(lambda: running.done() or "s" in roster.entries)
        assert not running.done()
    finally:
        await tasks.end([running])
