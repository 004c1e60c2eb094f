"""Sessions are noted with the store's time: who lists them, on whatever server, compares with that clock."""

from collections.abc import Mapping
from typing import Any

from relay_server.rpc.registry import WorkerRegistry
from relay_server.rpc.sessions import Session, Terms
from relay_server.rpc.worker_entries import shown, stale


class Clocked:
    """A directory whose store is years behind this machine."""

    def __init__(self) -> None:
        self.entries: dict[str, bytes] = {}

    async def now_ms(self) -> int:
        return 1_000_000

    async def write_sessions(self, entries: Mapping[str, bytes]) -> None:
        self.entries.update(entries)


async def test_sessions_are_noted_with_the_clock_they_are_listed_by() -> None:
    directory: Any = Clocked()
    registry = WorkerRegistry(directory, "server")
    terms = Terms(
        worker_id="w", client_version="", queues={"q": 1}, max_in_flight=1, lease_ms=1000, grace_ms=0
    )
    registry.note(Session("s", terms), connected=True)
    await registry.flush()
    (entry,) = shown(directory.entries, 1_000_500)
    assert entry.seen_ms == 1_000_000
    assert stale(directory.entries, 2_000_000) == ["s"]
