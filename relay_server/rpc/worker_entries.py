"""Reads what servers note of workers' sessions in the directory: which are shown, and which are stale."""

import json
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from relay_server.security.principals import Principal, Role

SHOWN_MS = 60_000
KEPT_MS = 600_000


class WorkerEntry(NamedTuple):
    """A session as its server last noted it; times are ms by the store's clock, queues are (name, weight)."""

    session_id: str
    worker_id: str
    queues: tuple[tuple[str, int], ...]
    max_in_flight: int
    in_flight: int
    client_version: str
    connect_ms: int
    seen_ms: int
    server_id: str
    connected: bool


def shown(entries: Mapping[str, bytes], now_ms: int) -> list[WorkerEntry]:
    """Sessions seen in the last minute, by worker id."""
    parsed = (_parse(session_id, raw) for session_id, raw in entries.items())
    recent = [entry for entry in parsed if entry is not None and now_ms - entry.seen_ms <= SHOWN_MS]
    return sorted(recent, key=lambda entry: (entry.worker_id, entry.session_id))


def visible(entries: Iterable[WorkerEntry], principal: Principal) -> list[WorkerEntry]:
    """Those that claim from a queue the principal may look at, with those queues alone."""
    seen = []
    for entry in entries:
        queues = tuple(queue for queue in entry.queues if principal.may(Role.VIEWER, queue[0]))
        if queues:
            seen.append(entry._replace(queues=queues))
    return seen


def stale(entries: Mapping[str, bytes], now_ms: int) -> list[str]:
    """Ids of sessions that were not seen for ten minutes, and of entries that cannot be read."""
    found = []
    for session_id, raw in entries.items():
        entry = _parse(session_id, raw)
        if entry is None or now_ms - entry.seen_ms > KEPT_MS:
            found.append(session_id)
    return found


def _parse(session_id: str, raw: bytes) -> WorkerEntry | None:
    try:
        value = json.loads(raw)
        return WorkerEntry(
            session_id=session_id,
            worker_id=str(value["worker_id"]),
            queues=tuple((str(name), int(weight)) for name, weight in value["queues"]),
            max_in_flight=int(value["max_in_flight"]),
            in_flight=int(value["in_flight"]),
            client_version=str(value["client_version"]),
            connect_ms=int(value["connect_ms"]),
            seen_ms=int(value["seen_ms"]),
            server_id=str(value["server_id"]),
            connected=bool(value["connected"]),
        )
    except (ValueError, KeyError, TypeError):  # written by a server of another version
        return None
