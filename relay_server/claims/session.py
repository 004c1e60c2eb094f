"""A worker's session: its window, which says how many jobs it may be given, and the leases that it was given."""

import secrets
import time
from collections import deque
from collections.abc import Iterable, Set
from dataclasses import dataclass, field

from relay_server.claims.parcel import Parcel, Sent
from relay_server.claims.rooms import Room, Rooms
from relay_server.claims.shares import share_of
from relay_server.model import Lease


@dataclass(slots=True)
class Group:
    """The leases of one token that are not known to be settled. Before `ends_at`, monotonic, they cannot run out."""

    queue: str
    ids: set[bytes]
    ends_at: float


@dataclass(slots=True, kw_only=True)
class Terms:
    """The terms of a stream, as its worker asked for them; weights by queue."""

    worker_id: str
    client_version: str
    queues: dict[str, int]
    max_in_flight: int
    lease_ms: int
    grace_ms: int


@dataclass(slots=True, kw_only=True)
class Report:
    """A worker's own statement of its window. `stream` 0: it does not say which stream's jobs it counts."""

    session_id: str
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
    principal: str  # who opened it: nobody else can take it over or report for it
    unsettled: int = 0
    reserved: int = 0
    # A random number for the current stream: no other stream of this session has it, on any server.
    stream: int = 0
    sent: int = 0
    queued: int = 0
    seq: int = -1
    reports: bool = False
    stalled: bool = False  # the client does not read, so it gets no more
    # Time of the worker's last sign of life. Also set when an idle session gets jobs.
    alive_at: float = field(default_factory=time.monotonic)
    groups: dict[bytes, Group] = field(default_factory=dict)
    parcels: deque[Parcel] = field(default_factory=deque)
    # Frames that were being written when their stream ended.
    in_doubt: list[Sent] = field(default_factory=list)
    # Bytes of jobs that wait here or are being written, and bytes that claims under way may bring.
    held_bytes: int = 0
    owes_a_look: bool = False  # a queue got no slots, because there was no room: it looks again when there is
    room: Room = field(default_factory=lambda: Rooms().of(""))
    connected_ms: int = field(default_factory=lambda: time.time_ns() // 1_000_000)
    served: dict[str, float] = field(default_factory=dict)

    @property
    def free(self) -> int:
        """How many more jobs may be claimed for it now."""
        if self.stalled or self.silent or not self.has_room:
            return 0
        return max(0, self.terms.max_in_flight - self.unsettled - self.reserved)

    @property
    def has_room(self) -> bool:
        """True when the principal's room is open and one more claim keeps the session under its bound.

        A session that holds nothing may make a claim of any size.
        """
        bounds, held = self.room.bounds, self.held_bytes
        return (not held or held + bounds.claim <= bounds.session) and self.room.open

    def reserve(self, slots: int) -> None:
        """A claim is made for it. `grants.reserve` reserves the room's bytes, once for all sessions of a claim."""
        self.reserved += slots
        self.held_bytes += self.room.bounds.claim

    def unreserve(self, slots: int) -> bool:
        """The claim is over. True when a queue that got no slots should look again."""
        self.reserved -= slots
        self.held_bytes -= self.room.bounds.claim
        return self._look_due()

    def let_go(self, size: int) -> bool:
        """These bytes wait no more. True when a queue that got no slots should look again."""
        self.held_bytes -= size
        self.room.let_go(size)
        return self._look_due()

    def _look_due(self) -> bool:
        """True, once, when a queue is owed a look and there is room."""
        if not self.owes_a_look or not self.has_room:
            return False
        self.owes_a_look = False
        return True

    @property
    def silent(self) -> bool:
        """It holds jobs and showed no sign of life for a whole lease: frozen, it would let more leases run out."""
        return self.unsettled > 0 and time.monotonic() - self.alive_at > self.terms.lease_ms / 1000

    def mark_alive(self) -> None:
        """The worker gave a sign of life."""
        self.alive_at = time.monotonic()

    def reopen(self, terms: Terms, in_flight: int) -> None:
        """A new stream: counts start anew from the jobs that the worker says it holds."""
        self.terms = terms
        self.stream = secrets.randbelow(2**31 - 1) + 1
        self.unsettled, self.sent, self.queued, self.stalled = in_flight, 0, 0, False
        self.served = dict.fromkeys(terms.queues, 0.0)
        self.mark_alive()

    def share(self, queue: str, wanting: Iterable[str]) -> int:
        """How many of the free slots this queue may have now, as the other queues in `wanting` want some too.

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
        """A queue that was empty is not paid back the turns that it missed."""
        if len(self.served) > 1:
            floor = min(value for name, value in self.served.items() if name != queue)
            self.served[queue] = max(self.served[queue], floor)

    def accept(self, parcel: Parcel) -> None:
        """Takes claimed jobs over, to be written to the stream."""
        n = len(parcel.jobs)
        if not self.unsettled:
            self.mark_alive()
        self.unsettled += n
        self.queued += n
        size = parcel.size()
        self.held_bytes += size
        self.room.hold(size)
        self.served[parcel.queue] += n / self.terms.queues[parcel.queue]
        self.parcels.append(parcel)
        self.track(parcel.queue, parcel.token, (job.id for job in parcel.jobs), ends_at=parcel.ends_at)

    def track(self, queue: str, token: bytes, ids: Iterable[bytes], *, ends_at: float = 0.0) -> None:
        """These leases are the worker's."""
        self.groups.setdefault(token, Group(queue, set(), ends_at)).ids.update(ids)

    def still_leased(self, token: bytes) -> bool:
        """A lease of this token cannot have run out yet."""
        group = self.groups.get(token)
        return group is not None and time.monotonic() < group.ends_at

    def sending(self, n: int) -> None:
        """The write of a frame begins: from now on it may arrive, even if the write fails."""
        self.queued -= n
        self.sent += n

    def withdraw(self, parcel: Parcel) -> bool:
        """A parcel will not be written after all. True when that makes room, as of `let_go`."""
        self.queued -= len(parcel.jobs)
        self.unsettled = max(0, self.unsettled - len(parcel.jobs))
        return self.let_go(parcel.size())

    def forget(self, token: bytes, ids: Iterable[bytes], *, counted: bool) -> None:
        """These leases are no longer the worker's. `counted`: the caller, or a report, counts them off the window."""
        group = self.groups.get(token)
        if group is None:
            return
        before = len(group.ids)
        group.ids.difference_update(ids)
        if not counted and not self.reports:
            self.unsettled = max(0, self.unsettled - (before - len(group.ids)))
        if not group.ids:
            del self.groups[token]

    def restate(self, report: Report) -> bool:
        """Counts anew: the jobs that the worker holds, and those that it cannot have seen yet.

        False, and nothing is counted, when a newer report is known, or when this one is about a former stream.
        """
        self.mark_alive()
        if report.seq <= self.seq or report.stream not in {0, self.stream}:
            return False
        self.seq = report.seq
        self.reports = True
        on_the_wire = max(0, self.sent - report.received)
        self.unsettled = report.in_flight + on_the_wire + self.queued
        return True

    @property
    def tracked(self) -> int:
        """How many leases are known to be the worker's."""
        return sum(len(group.ids) for group in self.groups.values())

    def holding(self, queue: str, ids: Set[bytes]) -> set[bytes]:
        """The jobs among these that it holds."""
        return {id_ for group in self.groups.values() if group.queue == queue for id_ in group.ids & ids}

    def leases_by_queue(self) -> dict[str, list[Lease]]:
        leases: dict[str, list[Lease]] = {}
        for token, group in self.groups.items():
            leases.setdefault(group.queue, []).extend(Lease(id_, token) for id_ in group.ids)
        return leases
