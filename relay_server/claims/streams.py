"""All Claim streams of a server: opens and ends them, and cares for leases whose stream is gone."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import MappingProxyType

import structlog

from relay_server import errors, limits, tasks
from relay_server.claims.dispatchers import Dispatchers
from relay_server.claims.hand_back import HandBack
from relay_server.claims.parcel import Parcel
from relay_server.claims.roster_writer import RosterWriter
from relay_server.claims.session import Session, Terms
from relay_server.claims.sessions import Sessions
from relay_server.claims.stream import ClaimStream, Frames, Write
from relay_server.engine import Transitions
from relay_server.model import Lease
from relay_server.security.principals import ANYONE
from relay_server.words import LeaseWord

_log = structlog.get_logger(__name__)

# If no stream ends for this long, the drain stops waiting: the clients of the others do not read.
_LAST_WRITE_S = 0.5
_SUPERSEDED_S = 5.0


class ClaimStreams:
    """Serves each stream to its end.

    Jobs whose frame was never begun are handed back then. Jobs of a frame that was cut off are handed back when the
    worker returns without them. All others stay leased.
    """

    def __init__(
        self,
        transitions: Transitions,
        sessions: Sessions,
        dispatchers: Dispatchers,
        roster_writer: RosterWriter,
        hand_back: HandBack,
        frames: Frames,
        *,
        spawn: tasks.Spawn,
        on_count: Callable[[int], None],
        streams_max: int,
        principal_streams_max: int,
        keep_alive_s: float,
        age_max_s: float,
    ) -> None:
        self._transitions = transitions
        self._sessions = sessions
        self._dispatchers = dispatchers
        self._roster_writer = roster_writer
        self._hand_back = hand_back
        self._frames = frames
        self._spawn = spawn
        self._on_count = on_count
        self._streams_max = streams_max
        self._principal_streams_max = principal_streams_max
        self._keep_alive_s = keep_alive_s
        self._age_max_s = age_max_s
        self._open: dict[str, ClaimStream] = {}
        self._serving: set[ClaimStream] = set()
        self._grace: dict[str, asyncio.Task[None]] = {}
        self._away: Counter[str] = Counter()
        self._checking: set[str] = set()
        self._draining = False
        self._one_ended = asyncio.Event()

    def __len__(self) -> int:
        return len(self._open)

    @property
    def serving(self) -> frozenset[ClaimStream]:
        """The streams that are being served, also those that another one superseded."""
        return frozenset(self._serving)

    @property
    def away(self) -> Mapping[str, int]:
        """How many sessions wait for their worker to come back, by principal."""
        return MappingProxyType(self._away)

    def connected(self) -> list[Session]:
        """The sessions that have a stream."""
        return [stream.session for stream in self._open.values()]

    def open(self, session_id: str, principal: str, terms: Terms, in_flight: int) -> Session:
        """The session of a new stream. One that served it before ends, and jobs that waited in it are handed back."""
        if self._draining:
            raise errors.Draining
        known = self._sessions.find(session_id, principal)
        replaces = known is not None and known.key in self._open
        if len(self._open) >= self._streams_max and not replaces:
            raise errors.Overloaded(
                f"this server serves its {self._streams_max} claim streams (--streams-max)",
                retry_after_ms=5000,
            )
        if known is not None:
            former = self._open.pop(known.key, None)
            if former is not None:
                self._dispatchers.unsubscribe(former)
                former.supersede()
                # If its client does not read, its last write would not end by itself.
                asyncio.get_running_loop().call_later(_SUPERSEDED_S, self._abort, former)
            grace = self._grace.pop(known.key, None)
            if grace is not None:
                grace.cancel()
        return self._sessions.open(session_id, principal, terms, in_flight)

    async def serve(self, session: Session, write: Write, held: dict[str, list[Lease]]) -> None:
        """Serves a stream of a session just opened to its end. `held` are the leases the worker says it still has."""
        stream = ClaimStream(
            session, self._frames, write, self, keep_alive_s=self._keep_alive_s, age_max_s=self._age_max_s
        )
        self._open[session.key] = stream
        self._serving.add(stream)
        self._hand_back_lost(session, held)
        drained = False
        try:
            name = self._sessions.name(session)
            await write(self._frames.started(name, session, keep_alive_s=self._keep_alive_s))
            stream.add_cancelled(await self._track_held(session, held))
            if not stream.superseded:
                self._dispatchers.subscribe(stream)
                self._note(session)
            await stream.serve()
            drained = not stream.superseded
        finally:
            # Also on CancelledError, which is raised on: swallowing it leaks the call inside grpc.
            self._serving.discard(stream)
            self._end(stream, drained=drained)

    def _hand_back_lost(self, session: Session, held: dict[str, list[Lease]]) -> None:
        """Hands back the jobs of frames that were cut off and did not arrive.

        A frame cut off in its write may have arrived or not. If the worker names every lease it holds and a job is not
        among them, the job never arrived. If it does not name all of them we cannot tell, and the lease goes on.
        """
        in_doubt, session.in_doubt = session.in_doubt, []
        named = {lease for leases in held.values() for lease in leases}
        names_fewer_than_it_counts = len(named) < session.unsettled
        list_is_full = len(named) >= limits.IN_FLIGHT_MAX  # the worker may hold more than it may name
        if names_fewer_than_it_counts or list_is_full:
            return
        for sent in in_doubt:
            lost = [lease for lease in sent.leases if lease not in named]
            if lost:
                self._sessions.forget(lost[0].token, [lease.id for lease in lost], counted=True)
                self._hand_back.return_leases(sent.queue, lost, until=sent.ends_at)

    async def _track_held(
        self, session: Session, held: dict[str, list[Lease]]
    ) -> list[tuple[str, bytes, LeaseWord]]:
        """Enters the current leases in the session. Returns the jobs that are cancelled, gone or no longer leased."""
        lost: list[tuple[str, bytes, LeaseWord]] = []
        for queue, leases in held.items():
            _, words = await self._transitions.held(queue, leases)
            for lease, word in zip(leases, words, strict=True):
                if word is not LeaseWord.OK:
                    lost.append((queue, lease.id, word))
                if word in {LeaseWord.OK, LeaseWord.CANCELLED}:
                    session.track(queue, lease.token, [lease.id])
                    self._sessions.register(lease.token, session)
        return lost

    def _end(self, stream: ClaimStream, *, drained: bool) -> None:
        session = stream.session
        if self._open.get(session.key) is not stream:
            return
        del self._open[session.key]
        self._dispatchers.unsubscribe(stream)
        stream.end()
        grace_ms = session.terms.grace_ms
        may_come_back = session.tracked and grace_ms and not drained and not self._draining
        if may_come_back and self._away[session.principal] < self._away_max(session):
            self._wait_for(session, grace_ms)
            self._note(session)
        else:
            self._remove(session)
        self._one_ended.set()

    def _abort(self, stream: ClaimStream) -> None:
        if stream in self._serving:
            stream.abort()

    def hand_back(self, session: Session, parcel: Parcel) -> None:
        """Returns these jobs to their old place at once, whatever becomes of the stream."""
        if self._sessions.withdraw(session, parcel):
            self._dispatchers.window_opened(session)
        if parcel.jobs:
            self._hand_back.return_leases(parcel.queue, parcel.leases(), until=parcel.ends_at)

    def set_aside(self, session: Session, parcel: Parcel) -> None:
        """Sets aside jobs that no frame can hold; their slots are free again."""
        _log.warning("jobs_unreadable", queue=parcel.queue, jobs=[job.id.hex() for job in parcel.jobs])
        if self._sessions.withdraw(session, parcel):
            self._dispatchers.window_opened(session)
        self._hand_back.set_aside(parcel.queue, parcel.leases(), until=parcel.ends_at)

    def reads_again(self, session: Session) -> None:
        self._dispatchers.window_opened(session)

    def _wait_for(self, session: Session, grace_ms: int) -> None:
        waiting = self._spawn(self._abandon_later(session, grace_ms), "disconnect-grace")
        self._grace[session.key] = waiting
        self._away[session.principal] += 1
        # Not in a `finally` of the task: a task that is cancelled at once never begins.
        waiting.add_done_callback(lambda _: self._no_longer_away(session.principal))

    def _no_longer_away(self, principal: str) -> None:
        self._away[principal] -= 1
        if not self._away[principal]:
            del self._away[principal]

    async def _abandon_later(self, session: Session, grace_ms: int) -> None:
        """Ends the leases of a worker that does not come back.

        Leases that were extended since the stream ended go on.
        """
        try:
            since: dict[str, int] = {}
            for queue, leases in session.leases_by_queue().items():
                since[queue] = (await self._transitions.held(queue, leases[:1]))[0]
            await asyncio.sleep(grace_ms / 1000)
            for queue, leases in session.leases_by_queue().items():
                if queue in since:
                    ended = await self._transitions.abandon(queue, leases, since_ms=since[queue])
                    _log.info("worker_vanished", worker=session.terms.worker_id, queue=queue, leases=ended)
        except errors.StoreUnavailable:
            _log.warning("worker_vanished_store_unavailable", worker=session.terms.worker_id)
        finally:
            self._grace.pop(session.key, None)
            if session.key not in self._open:
                self._remove(session)

    def check_leases(self, stream: ClaimStream) -> None:
        session = stream.session
        if session.key in self._checking:
            return  # a slow store would not get faster by being asked more often
        # A worker that reports says how many jobs it holds. If that explains all leases, none has ended elsewhere. Of a
        # worker that never reports we count only what it settles here, so we ask as long as we know of a lease.
        explained = session.unsettled if session.reports else 0
        if session.tracked > explained:
            self._checking.add(session.key)
            self._spawn(self._check_tracked(session, stream), "check-leases")

    async def _check_tracked(self, session: Session, stream: ClaimStream) -> None:
        """Forgets leases that were settled through another server or have run out.

        The worker is told to stop the jobs that were cancelled, and those that it may still run without a lease.
        """
        stopped: list[tuple[str, bytes, LeaseWord]] = []
        try:
            for queue, leases in session.leases_by_queue().items():
                _, words = await self._transitions.held(queue, leases)
                for lease, word in zip(leases, words, strict=True):
                    if word in {LeaseWord.LEASE_LOST, LeaseWord.GONE} and session.still_leased(lease.token):
                        session.mark_alive()  # the lease ended early, so its holder settled it: the worker is alive
                    if word in {LeaseWord.LEASE_LOST, LeaseWord.CANCELLED}:
                        stopped.append((queue, lease.id, word))
                    if word in {LeaseWord.LEASE_LOST, LeaseWord.GONE}:
                        self._sessions.forget(lease.token, [lease.id], counted=False)
        except errors.StoreUnavailable:
            return
        finally:
            self._checking.discard(session.key)
        # A Cancel frame names only the job. If this stream has got the job again, the new run must not be stopped.
        held = {(group.queue, id_) for group in session.groups.values() for id_ in group.ids}
        stopped = [one for one in stopped if one[2] is LeaseWord.CANCELLED or one[:2] not in held]
        if stopped:
            stream.add_cancelled(stopped)
        self._dispatchers.window_opened(session)

    def _note(self, session: Session) -> None:
        self._on_count(len(self._open))
        self._roster_writer.note(session, connected=session.key in self._open)

    def _remove(self, session: Session) -> None:
        self._on_count(len(self._open))
        self._sessions.remove(session)
        self._roster_writer.forget(session)

    def _away_max(self, session: Session) -> int:
        """How many sessions of a principal may wait for their worker; leases of the others run out by themselves."""
        return self._streams_max if session.principal == ANYONE.name else self._principal_streams_max

    async def drain(self, within_s: float) -> None:
        """Ends all streams with Drain; jobs that wait are handed back. Does not wait for clients that do not read."""
        self._draining = True
        await tasks.end(list(self._grace.values()))  # or the process would wait for vanished workers
        for stream in list(self._open.values()):
            self._dispatchers.unsubscribe(stream)  # or the jobs handed back would be claimed for it again
            stream.drain()
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while self._open:  # thousands take long: stop when no more of them end
                    self._one_ended.clear()
                    async with asyncio.timeout(_LAST_WRITE_S):
                        await self._one_ended.wait()
        for stream in list(self._open.values()):
            self._end(stream, drained=True)
        for stream in list(self._serving):
            stream.abort()
