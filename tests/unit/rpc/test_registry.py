"""Sessions are noted with the store's time: who lists them, on whatever server, compares with that clock."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from relay_server import errors, tasks
from relay_server.rpc import registry as registry_module
from relay_server.rpc.registry import WorkerRegistry
from relay_server.rpc.sessions import Session, Terms
from relay_server.rpc.worker_entries import shown, stale
from tests.support.relay import eventually


class Clocked:
    """A directory whose store is years behind this machine."""

    def __init__(self) -> None:
        self.entries: dict[str, bytes] = {}

        self.writes = 0
        self.refuse_with: errors.RelayError | None = None

    async def now_ms(self) -> int:
        return 1_000_000

    async def write_sessions(self, entries: Mapping[str, bytes]) -> None:
        self.writes += 1
        if self.refuse_with is not None:
            raise self.refuse_with
        self.entries.update(entries)


def session(key: str) -> Session:
    terms = Terms(
        worker_id="w", client_version="", queues={"q": 1}, max_in_flight=1, lease_ms=1000, grace_ms=0
    )
    return Session(key, terms, "anyone")


async def test_sessions_are_noted_with_the_clock_they_are_listed_by() -> None:
    directory: Any = Clocked()
    registry = WorkerRegistry(directory, "server")
    registry.note(session("s"), connected=True)
    await registry.flush()
    (entry,) = shown(directory.entries, 1_000_500)
    assert entry.seen_ms == 1_000_000
    assert stale(directory.entries, 2_000_000) == ["s"]


async def test_sessions_are_renewed_also_while_others_come_and_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry_module, "FLUSH_S", 0.001)
    monkeypatch.setattr(registry_module, "RENEW_S", 0.05)
    directory: Any = Clocked()
    registry = WorkerRegistry(directory, "server")
    lasting, passing = session("lasting"), session("passing")

    async def come_and_go() -> None:
        while True:
            registry.note(passing, connected=True)
            await asyncio.sleep(0)

    running = [asyncio.create_task(registry.run(lambda: [lasting])), asyncio.create_task(come_and_go())]
    try:
        await eventually(lambda: "lasting" in directory.entries)
    finally:
        await tasks.end(running)


@pytest.mark.parametrize("error", [errors.StoreOutOfMemory(), errors.StoreUnavailable()])
async def test_a_store_that_takes_nothing_now_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, error: errors.RelayError
) -> None:
    monkeypatch.setattr(registry_module, "FLUSH_S", 0.001)
    monkeypatch.setattr(registry_module, "RENEW_S", 0.001)
    directory: Any = Clocked()
    directory.refuse_with = error
    registry = WorkerRegistry(directory, "server")
    running = asyncio.create_task(registry.run(lambda: [session("s")]))
    try:
        await eventually(lambda: running.done() or directory.writes > 1)
        directory.refuse_with = None
        await eventually(lambda: running.done() or "s" in directory.entries)
        assert not running.done()
    finally:
        await tasks.end([running])
