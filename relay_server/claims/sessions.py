"""Workers' sessions and their windows: how many jobs each may be given, and which leases it was given."""

import math
import secrets
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from relay_server.claims.rooms import JOB_BYTES, Room, Rooms
from relay_server.model import ClaimedJob, Lease


@dataclass(slots=True)
class Parcel:
    """Jobs of one claim for one session under one token, waiting to be written. `claimed_at` is monotonic seconds."""

    queue: str
    token: bytes
    lease_ms: int
    claimed_at: float
    jobs: list[ClaimedJob]

    def leases(self) -> list[Lease]:
        return [Lease(job.id, self.token) for job in self.jobs]

    def size(self) -> int:
        """What it costs to keep, in bytes."""
        return sum(len(job.body) for job in self.jobs) + JOB_BYTES * len(self.jobs)

    def left_ms(self) -> int:
        """What is left of the lease."""
        return self.lease_ms - int((time.monotonic() - self.claimed_at) * 1000)

    @property
    def ends_at(self) -> float:
        """When the lease runs out, in monotonic seconds."""
        return self.claimed_at + self.lease_ms / 1000

    @property
    def stale(self) -> bool:
        """Half of the lease went by in waiting: another worker will be quicker."""
        return self.left_ms() < self.lease_ms / 2

    def cut(self, n: int) -> "Parcel":
        """The first `n` jobs, as a parcel of its own."""
        head = Parcel(self.queue, self.token, self.lease_ms, self.claimed_at, self.jobs[:n])
        del self.jobs[:n]
        return head


@dataclass(slots=True)
class Sent:
    """The leases of a frame whose write began, without its jobs: `ends_at` is monotonic seconds."""

    queue: str
    leases: list[Lease]
    ends_at: float


@dataclass(slots=True)
class Group:
    """The leases of one token that are not known to be settled. Before `ends_at`, monotonic, they cannot run out."""

    queue: str
    ids: set[bytes]
    ends_at: float


@dataclass(slots=True, kw_only=True)
class Terms:
    """What a worker asked for when it opened its stream; weights by queue."""

    worker_id: str
    client_version: str
    queues: dict[str, int]
    max_in_flight: int
    lease_ms: int
    grace_ms: int


@dataclass(slots=True, kw_only=True)
class Report:
    """A worker's own statement of its window. `stream` 0: it does not say which stream's jobs it counts."""

    received: int
    in_flight: int
    seq: int
    stream: int


@dataclass(slots=True)
class Session:
    """One worker's window over all its queues.

    `unsettled` counts jobs that are queued here, on the wire or with the worker. A worker that reports restates it;
    for one that never does it falls with each settle that reaches this server.
    """

    key: str
    terms: Terms
    owner: str  # the principal who opened it; nobody else can take it over or speak for it
    unsettled: int = 0
    reserved: int = 0
    stream: int = 0  # names the current stream, as no other of the session on whatever server
    sent: int = 0
    queued: int = 0
    seq: int = -1
    reports: bool = False
    stalled: bool = False  # the client does not read, so it gets no more
    heard_at: float = field(
        default_factory=time.monotonic
    )  # last sign of life, or when it was last without jobs
    groups: dict[bytes, Group] = field(default_factory=dict)
    parcels: deque[Parcel] = field(default_factory=deque)
    # Frames that were being written when their stream ended.
    unsure: list[Sent] = field(default_factory=list)
    # What waits here or is being written, and what claims under way may bring, in bytes.
    held_bytes: int = 0
    short: bool = False  # a queue got no slots for want of room
    room: Room = field(default_factory=lambda: Rooms().of(""))
    connected_ms: int = field(default_factory=lambda: time.time_ns() // 1_000_000)
    served: dict[str, float] = field(default_factory=dict)

    @property
    def free(self) -> int:
        if self.stalled or self.silent or not self.has_room:
            return 0
        return max(0, self.terms.max_in_flight - self.unsettled - self.reserved)

    @property
    def has_room(self) -> bool:
        """What one more claim may bring has room: the session's own, or nothing waits, and its principal's."""
        bounds, held = self.room.bounds, self.held_bytes
        return (not held or held + bounds.claim <= bounds.session) and self.room.open

    def reserve(self, slots: int) -> None:
        """A claim is made for it. Its bytes are also reserved in the room, once for all whom the claim is for."""
        self.reserved += slots
        self.held_bytes += self.room.bounds.claim

    def unreserve(self, slots: int) -> bool:
        """The claim is over. True when a queue that got no slots should look again."""
        self.reserved -= slots
        self.held_bytes -= self.room.bounds.claim
        return self._no_longer_short()

    def let_go(self, size: int) -> bool:
        """These bytes wait no more. True when a queue that got no slots should look again."""
        self.held_bytes -= size
        self.room.let_go(size)
        return self._no_longer_short()

    def _no_longer_short(self) -> bool:
        if not self.short or not self.has_room:
            return False
        self.short = False
        return True

    @property
    def silent(self) -> bool:
        """It holds jobs and let a whole lease pass without a word: it is frozen, and would let others run out too."""
        return self.unsettled > 0 and time.monotonic() - self.heard_at > self.terms.lease_ms / 1000

    def heard(self) -> None:
        self.heard_at = time.monotonic()

    def reopen(self, terms: Terms, in_flight: int) -> None:
        """A new stream: counts start anew from what the worker says it holds."""
        self.terms = terms
        self.stream = secrets.randbelow(2**31 - 1) + 1
        self.unsettled, self.sent, self.queued, self.stalled = in_flight, 0, 0, False
        self.served = dict.fromkeys(terms.queues, 0.0)
        self.heard()

    def share(self, queue: str, wanting: Iterable[str]) -> int:
        """How many of the free slots this queue may have now, by weight, beside the other queues that want some.

        Slots go one by one to the queue that was served least for its weight.
        """
        others = [name for name in wanting if name in self.served]
        if queue not in others:
            return 0
        if others == [queue]:
            return self.free
        return share_of(
            queue, self.free, {name: (self.served[name], self.terms.queues[name]) for name in others}
        )

    def catch_up(self, queue: str) -> None:
        """A queue that was empty does not get the turns it missed."""
        if len(self.served) > 1:
            floor = min(value for name, value in self.served.items() if name != queue)
            self.served[queue] = max(self.served[queue], floor)

    def accept(self, parcel: Parcel) -> None:
        """Takes claimed jobs over, to be written to the stream."""
        n = len(parcel.jobs)
        if not self.unsettled:
            self.heard()
        self.unsettled += n
        self.queued += n
        size = parcel.size()
        self.held_bytes += size
        self.room.hold(size)
        self.served[parcel.queue] += n / self.terms.queues[parcel.queue]
        self.parcels.append(parcel)
        self.track(parcel.queue, parcel.token, (job.id for job in parcel.jobs), ends_at=parcel.ends_at)

    def track(self, queue: str, token: bytes, ids: Iterable[bytes], *, ends_at: float = 0.0) -> None:
        self.groups.setdefault(token, Group(queue, set(), ends_at)).ids.update(ids)

    def still_leased(self, token: bytes) -> bool:
        """A lease of this token cannot have run out yet."""
        group = self.groups.get(token)
        return group is not None and time.monotonic() < group.ends_at

    def sending(self, n: int) -> None:
        """A frame's write begins: from now on it may arrive, whatever comes."""
        self.queued -= n
        self.sent += n

    def dropped(self, parcel: Parcel) -> bool:
        """A parcel will not be written after all. True when that makes room, as of `let_go`."""
        self.queued -= len(parcel.jobs)
        self.unsettled = max(0, self.unsettled - len(parcel.jobs))
        return self.let_go(parcel.size())

    def forget(self, token: bytes, ids: Iterable[bytes], *, restated: bool) -> None:
        """These leases are no longer the worker's. `restated`: a report came along that already says so."""
        group = self.groups.get(token)
        if group is None:
            return
        before = len(group.ids)
        group.ids.difference_update(ids)
        if not restated and not self.reports:
            self.unsettled = max(0, self.unsettled - (before - len(group.ids)))
        if not group.ids:
            del self.groups[token]

    def restate(self, report: Report) -> bool:
        """The worker's count, plus what it cannot have seen yet. False when the report is not the newest there is.

        One that counts the receipts of a former stream says nothing of this one's, however late it comes.
        """
        self.heard()
        if report.seq <= self.seq or report.stream not in {0, self.stream}:
            return False
        self.seq = report.seq
        self.reports = True
        on_the_wire = max(0, self.sent - report.received)
        self.unsettled = report.in_flight + on_the_wire + self.queued
        return True

    @property
    def tracked(self) -> int:
        return sum(len(group.ids) for group in self.groups.values())

    def holding(self, queue: str, ids: set[bytes]) -> set[bytes]:
        """Those of these jobs that it holds."""
        return {id_ for group in self.groups.values() if group.queue == queue for id_ in group.ids & ids}

    def leases_by_queue(self) -> dict[str, list[Lease]]:
        leases: dict[str, list[Lease]] = {}
        for token, group in self.groups.items():
            leases.setdefault(group.queue, []).extend(Lease(id_, token) for id_ in group.ids)
        return leases


def share_of(mine: str, slots: int, queues: dict[str, tuple[float, int]]) -> int:
    """How many of the slots `mine` gets when each goes to the queue that was served least by then.

    `queues`: by name, how much each was served for its weight, and the weight.
    """
    given = dict.fromkeys(queues, 0)
    if slots > len(queues):
        # All turns below a level are surely had; whole turns round up, so the level leaves one slot a queue.
        level = _level(slots - len(queues), queues.values())
        given = {
            name: max(0, math.ceil((level - served) * weight)) for name, (served, weight) in queues.items()
        }
    for _ in range(slots - sum(given.values())):
        name = min(queues, key=lambda name: queues[name][0] + given[name] / queues[name][1])
        given[name] += 1
    return given[mine]


def _level(slots: int, queues: Iterable[tuple[float, int]]) -> float:
    """How far so many slots would lift those that were served least, could slots be cut to any size."""
    weights = filled = 0.0  # filled: the sum of served x weight of those below the level
    level = 0.0
    for served, weight in sorted(queues):
        if weights and level <= served:
            break
        weights, filled = weights + weight, filled + served * weight
        level = (slots + filled) / weights
    return level


class Sessions:
    """All sessions of this server, by key and by token. A session's id is the server's name and its key."""

    def __init__(self, server_id: str, rooms: Rooms | None = None) -> None:
        self._server_id = server_id
        self.rooms = rooms or Rooms()
        self._by_key: dict[str, Session] = {}
        self._by_token: dict[bytes, Session] = {}

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._by_key.values()))

    def name(self, session: Session) -> str:
        return f"{self._server_id}.{session.key}"

    def split(self, session_id: str) -> tuple[str, str]:
        """(server id, key) of a session id, wherever it was given out."""
        server_id, _, key = session_id.rpartition(".")
        return server_id, key

    def open(self, session_id: str, owner: str, terms: Terms, in_flight: int) -> Session:
        """The session of a new stream: one of this principal's, one that comes from another server, or a new one."""
        session = self.find(session_id, owner)
        if session is None:
            key = self.split(session_id)[1]
            if not key or key in self._by_key:  # that one is another principal's
                key = secrets.token_hex(12)
            session = self._by_key[key] = Session(key, terms, owner, room=self.rooms.of(owner))
        session.reopen(terms, in_flight)
        return session

    def find(self, session_id: str, owner: str) -> Session | None:
        """The session, if it is this principal's."""
        session = self._by_key.get(self.split(session_id)[1])
        return session if session is not None and session.owner == owner else None

    def register(self, token: bytes, session: Session) -> None:
        self._by_token[token] = session

    def holder(self, token: bytes) -> Session | None:
        """The session of this server that was given this token."""
        return self._by_token.get(token)

    def settled(self, token: bytes, ids: Iterable[bytes], *, restated: bool) -> Session | None:
        """Leases that were settled here. Returns the session that held them, when it is ours."""
        session = self._by_token.get(token)
        if session is not None:
            session.forget(token, ids, restated=restated)
            if token not in session.groups:
                del self._by_token[token]
        return session

    def dropped(self, session: Session, parcel: Parcel) -> bool:
        """The jobs of a parcel that were not written are not the worker's. True when that makes room."""
        self.settled(parcel.token, [job.id for job in parcel.jobs], restated=True)
        return session.dropped(parcel)

    def remove(self, session: Session) -> None:
        for token in session.groups:
            self._by_token.pop(token, None)
        if self._by_key.get(session.key) is session:
            del self._by_key[session.key]
