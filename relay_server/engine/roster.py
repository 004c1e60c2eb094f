"""The roster: which workers' sessions there are, on all servers.

An entry lives as long as its server renews it. Beside the entries stand their times, their order, and the workers of
each queue, so that nobody ever reads all of them.
"""

import json
import struct
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from relay_server import limits
from relay_server.engine import keys
from relay_server.engine.scripts import ScriptRunner

# What one script notes: it is in the index of each queue of each session.
NOTED_AT_ONCE, QUEUES_AT_ONCE = 100, 100
KEPT_MS = 60_000
_CREW_STEP = 1000
_TIME_MAX_MS, _COUNT_MAX = 1 << 47, (1 << 31) - 1  # what the contract can tell


class WorkerEntry(NamedTuple):
    """A session as its server last noted it; times are ms by the store's clock, queues are (name, weight)."""

    session_id: str
    worker_id: str
    queues: tuple[tuple[str, int], ...]
    max_in_flight: int
    in_flight: int
    client_version: str
    connect_ms: int
    server_id: str
    connected: bool
    owner: str = ""
    seen_ms: int = 0  # set by the store


class RosterPage(NamedTuple):
    """Entries in order. `last` is the place of the last one; empty when no others follow."""

    entries: list[WorkerEntry]
    last: bytes


class Roster:
    """Notes, lists and counts sessions. Methods raise StoreUnavailable and StoreOutOfMemory."""

    def __init__(self, scripts: ScriptRunner) -> None:
        self._scripts = scripts

    async def note(self, server_id: str, entries: Mapping[str, WorkerEntry | None]) -> bool:
        """Enters or renews sessions of this server, by id, as many as `chunks` gives; None removes one.

        Entries that nobody renewed are removed along the way. True when there are more of those.
        """
        reply = await self._scripts.call_on(
            "note_sessions",
            keys.SESSION_KEYS,
            server=server_id,
            kept_ms=KEPT_MS,
            sessions_max=limits.SESSIONS_NOTED_MAX,
            rows=[(key, b"" if entry is None else pack(entry)) for key, entry in entries.items()],
            jobs=len(entries),
        )
        return bool(reply.more == b"1")

    async def page(self, after: bytes, limit: int) -> RosterPage:
        """Entries by worker and session, from the one after this place on."""
        reply = await self._scripts.call_on(
            "list_sessions", keys.SESSION_KEYS, kept_ms=KEPT_MS, after=after, limit=limit
        )
        entries, last = [], b""
        for place, session_id, seen_ms, raw in reply.rows:
            last = place
            entry = unpack(session_id.decode(errors="replace"), raw)
            if entry is not None:
                entries.append(entry._replace(seen_ms=int(seen_ms)))
        return RosterPage(entries, last if len(reply.rows) == limit else b"")

    async def crew(self, queue: str) -> tuple[int, int]:
        """How many connected workers claim from the queue, and how many jobs they take at once, all together."""
        workers, slots, after = 0, 0, b""
        while True:
            reply = await self._scripts.call_on(
                "crew", keys.SESSION_KEYS, queue=queue, after=after, limit=_CREW_STEP
            )
            workers, slots, after = workers + int(reply.workers), slots + int(reply.slots), reply.after
            if not after:
                return workers, slots


def chunks(entries: Iterable[tuple[str, WorkerEntry | None]]) -> Iterator[dict[str, WorkerEntry | None]]:
    """Entries in parts that one script notes in a short time."""
    part, queues = dict[str, WorkerEntry | None](), 0
    for session_id, entry in entries:
        part[session_id] = entry
        queues += len(entry.queues) if entry else limits.QUEUES_PER_CLAIM_MAX
        if len(part) >= NOTED_AT_ONCE or queues >= QUEUES_AT_ONCE:
            yield part
            part, queues = {}, 0
    if part:
        yield part


def pack(entry: WorkerEntry) -> bytes:
    """What the script reads comes first: server, owner, worker, slots (0: not connected), queues."""
    words = [entry.server_id, entry.owner, entry.worker_id]
    names = [name for name, _ in entry.queues]
    slots = entry.max_in_flight if entry.connected else 0
    rest = (
        entry.max_in_flight,
        entry.in_flight,
        entry.client_version,
        entry.connect_ms,
        [weight for _, weight in entry.queues],
    )
    return b"".join(
        (
            *map(_word, words),
            struct.pack("<HB", slots, len(names)),
            *map(_word, names),
            json.dumps(rest, separators=(",", ":")).encode(),
        )
    )


def unpack(session_id: str, raw: bytes) -> WorkerEntry | None:
    """None for what a server of another version wrote."""
    try:
        at, words = 0, list[str]()
        for _ in range(3):
            at = _read_word(raw, at, words)
        slots, n = struct.unpack_from("<HB", raw, at)
        at += 3
        names = list[str]()
        for _ in range(n):
            at = _read_word(raw, at, names)
        max_in_flight, in_flight, client_version, connect_ms, weights = json.loads(raw[at:])
        entry = WorkerEntry(
            session_id=session_id,
            worker_id=words[2],
            queues=tuple(zip(names, map(int, weights), strict=True)),
            max_in_flight=int(max_in_flight),
            in_flight=int(in_flight),
            client_version=str(client_version),
            connect_ms=int(connect_ms),
            server_id=words[0],
            connected=slots > 0,
            owner=words[1],
        )
    except (ValueError, TypeError, struct.error, IndexError, OverflowError, RecursionError):
        return None
    counts = (entry.max_in_flight, entry.in_flight, *(weight for _, weight in entry.queues))
    fits = 0 <= entry.connect_ms <= _TIME_MAX_MS and all(0 <= n <= _COUNT_MAX for n in counts)
    return entry if fits else None


def _word(text: str) -> bytes:
    raw = text.encode("utf-8", "surrogatepass")[:255]
    return bytes((len(raw),)) + raw


def _read_word(raw: bytes, at: int, words: list[str]) -> int:
    end = at + 1 + raw[at]
    words.append(raw[at + 1 : end].decode("utf-8", "replace"))
    return end
