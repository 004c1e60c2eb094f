"""One Claim stream: writes what its session is given, keeps the stream alive, and gives back what was not written."""

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

import grpc
import structlog

from relay.v1 import queue_service_pb2
from relay_server import __version__, errors
from relay_server.engine import Engine
from relay_server.model import Lease, LeaseWord
from relay_server.rpc import convert
from relay_server.rpc.dispatcher import Dispatchers
from relay_server.rpc.registry import WorkerRegistry
from relay_server.rpc.sessions import Parcel, Session, Sessions, Terms

_log = structlog.get_logger(__name__)

FRAME_JOBS_MAX = 64
FRAME_BYTES_MAX = 256 << 10
CANCELLED_MAX = 500
_AGE_JITTER = 0.2
_RECONNECT_SPREAD_MS = 1000
# Of a server that stops: a worker that does not read must not keep its jobs from others.
_LAST_WRITE_S = 0.5

Frame = queue_service_pb2.ClaimResponse
Context = grpc.aio.ServicerContext[queue_service_pb2.ClaimRequest, Frame]
Spawn = Callable[[Coroutine[Any, Any, None], str], "asyncio.Task[None]"]


class ClaimStream:
    """A stream and the session it serves. `serve` returns when the stream drains and raises when the client leaves."""

    def __init__(self, session: Session, context: Context, *, keep_alive_s: float, age_max_s: float) -> None:
        self.session = session
        self._context = context
        self._keep_alive_s = keep_alive_s
        self._ends_at = time.monotonic() + age_max_s * random.uniform(1 - _AGE_JITTER, 1 + _AGE_JITTER)
        self._notified = asyncio.Event()
        self._frames: deque[Frame] = deque()
        self._stale: list[Parcel] = []
        self._draining = False
        self._limit: asyncio.Timeout | None = None
        self.superseded = False

    def notify(self) -> None:
        self._notified.set()

    def cancelled(self, queue: str, ids: set[bytes]) -> None:
        self.add_cancelled([(queue, id_, LeaseWord.CANCELLED) for id_ in ids])

    def add_cancelled(self, jobs: list[tuple[str, bytes, LeaseWord]]) -> None:
        """Tells the worker to stop these jobs."""
        for i in range(0, len(jobs), CANCELLED_MAX):
            frame = Frame()
            for queue, id_, word in jobs[i : i + CANCELLED_MAX]:
                frame.cancel.jobs.add(
                    queue=queue, job_id=convert.uuid_text(id_), outcome=convert.LEASE_OUTCOMES[word]
                )
            self._frames.append(frame)
        self._notified.set()

    def drain(self) -> None:
        """Ends the stream with Drain, or without when a write is stuck."""
        self._draining = True
        self._notified.set()
        if self._limit is not None:
            self._limit.reschedule(asyncio.get_running_loop().time() + _LAST_WRITE_S)

    def supersede(self) -> None:
        """The worker opened another stream for the same session; this one ends without a word."""
        self.superseded = True
        self._notified.set()

    async def serve(self, give_back: Callable[[Parcel], None], on_quiet: Callable[[], None]) -> None:
        """Writes frames until the stream is to end. `on_quiet` is called at each keep-alive."""
        try:
            async with asyncio.timeout(_LAST_WRITE_S if self._draining else None) as self._limit:
                await self._serve(give_back, on_quiet)
        except TimeoutError:
            _log.warning("drained_without_a_word", worker=self.session.terms.worker_id)

    async def _serve(self, give_back: Callable[[Parcel], None], on_quiet: Callable[[], None]) -> None:
        while not self.superseded:
            self._notified.clear()
            await self._write_waiting(give_back)
            if self._draining or time.monotonic() >= self._ends_at:
                wait = convert.duration(random.randrange(_RECONNECT_SPREAD_MS))
                await self._context.write(Frame(drain=queue_service_pb2.Drain(reconnect_after=wait)))
                return
            try:
                async with asyncio.timeout(self._keep_alive_s):
                    await self._notified.wait()
            except TimeoutError:
                alive = queue_service_pb2.KeepAlive(unsettled=self.session.unsettled)
                await self._context.write(Frame(keep_alive=alive))
                on_quiet()

    async def _write_waiting(self, give_back: Callable[[Parcel], None]) -> None:
        while self._frames and not self.superseded:
            await self._context.write(self._frames.popleft())
        while self.session.parcels and not (self._draining or self.superseded):
            parcel = self.session.parcels[0]
            left_ms = parcel.lease_ms - int((time.monotonic() - parcel.claimed_at) * 1000)
            if left_ms < parcel.lease_ms / 2:  # it waited too long: somebody else will be quicker
                self.session.parcels.popleft()
                give_back(parcel)
                continue
            n = _fitting(parcel)
            await self._context.write(Frame(jobs=_jobs_frame(parcel, n, left_ms)))
            if self.superseded:  # the session is another stream's, and these jobs were given back then
                return
            self.session.wrote(n)
            del parcel.jobs[:n]
            if not parcel.jobs:
                self.session.parcels.popleft()


def _fitting(parcel: Parcel) -> int:
    n = size = 0
    for job in parcel.jobs[:FRAME_JOBS_MAX]:
        size += len(job.body)
        if n and size > FRAME_BYTES_MAX:
            break
        n += 1
    return n


def _jobs_frame(parcel: Parcel, n: int, left_ms: int) -> queue_service_pb2.Jobs:
    frame = queue_service_pb2.Jobs(
        queue=parcel.queue,
        lease_token=parcel.token,
        lease_deadline=convert.timestamp(time.time_ns() // 1_000_000 + left_ms),
        lease_remaining=convert.duration(left_ms),
    )
    for job in parcel.jobs[:n]:
        convert.add_claimed(frame, job)
    return frame


class ClaimStreams:
    """All Claim streams of this server: opens them, ends them, and cares for leases whose stream is gone."""

    def __init__(
        self,
        engine: Engine,
        sessions: Sessions,
        dispatchers: Dispatchers,
        registry: WorkerRegistry,
        *,
        spawn: Spawn,
        on_count: Callable[[int], None],
        streams_max: int,
        keep_alive_s: float,
        age_max_s: float,
    ) -> None:
        self._engine = engine
        self._sessions = sessions
        self._dispatchers = dispatchers
        self._registry = registry
        self._spawn = spawn
        self._on_count = on_count
        self._streams_max = streams_max
        self._keep_alive_s = keep_alive_s
        self._age_max_s = age_max_s
        self._open: dict[str, ClaimStream] = {}
        self._grace: dict[str, asyncio.Task[None]] = {}
        self._draining = False
        self._all_ended = asyncio.Event()

    def __len__(self) -> int:
        return len(self._open)

    def connected(self) -> list[Session]:
        """The sessions that have a stream."""
        return [stream.session for stream in self._open.values()]

    def open(self, session_id: str, terms: Terms, in_flight: int) -> Session:
        """The session of a new stream. A stream that served it before ends, and what it did not write goes back."""
        if self._draining:
            raise errors.Draining
        if len(self._open) >= self._streams_max:
            raise errors.Overloaded(
                f"this server serves its {self._streams_max} claim streams (--streams-max)",
                retry_after_ms=5000,
            )
        known = self._sessions.find(session_id)
        if known is not None:
            former = self._open.pop(known.key, None)
            if former is not None:
                self._dispatchers.unsubscribe(former)
                former.supersede()
            self._give_back_unwritten(known)
            grace = self._grace.pop(known.key, None)
            if grace is not None:
                grace.cancel()
        return self._sessions.open(session_id, terms, in_flight)

    async def serve(self, session: Session, context: Context, held: dict[str, list[Lease]]) -> None:
        """Serves a stream to its end. `held` are the leases the worker says it still has."""
        stream = ClaimStream(session, context, keep_alive_s=self._keep_alive_s, age_max_s=self._age_max_s)
        self._open[session.key] = stream
        drained = False
        try:
            await context.write(Frame(started=self._started(session)))
            stream.add_cancelled(await self._check(session, held))
            self._dispatchers.subscribe(stream)
            self._note(session)
            await stream.serve(
                lambda parcel: self._give_back(session, parcel), lambda: self._on_quiet(session, stream)
            )
            drained = True
        finally:
            # Also on CancelledError, which is raised on: swallowing it leaks the call inside grpc.
            self._end(session, stream, drained=drained)

    def _started(self, session: Session) -> queue_service_pb2.Started:
        lease_ms = session.terms.lease_ms
        return queue_service_pb2.Started(
            session_id=self._sessions.name(session),
            lease=convert.duration(lease_ms),
            extend_every=convert.duration(lease_ms // 3),
            keep_alive=convert.duration(int(self._keep_alive_s * 1000)),
            max_in_flight=session.terms.max_in_flight,
            server_version=__version__,
        )

    async def _check(
        self, session: Session, held: dict[str, list[Lease]]
    ) -> list[tuple[str, bytes, LeaseWord]]:
        """Follows the leases that are current, and returns those that are not."""
        lost: list[tuple[str, bytes, LeaseWord]] = []
        for queue, leases in held.items():
            _, words = await self._engine.held(queue, leases)
            for lease, word in zip(leases, words, strict=True):
                if word is not LeaseWord.OK:
                    lost.append((queue, lease.id, word))
                if word in {LeaseWord.OK, LeaseWord.CANCELLED}:
                    session.track(queue, lease.token, [lease.id])
                    self._sessions.register(lease.token, session)
        return lost

    def _end(self, session: Session, stream: ClaimStream, *, drained: bool) -> None:
        if self._open.get(session.key) is not stream:
            return
        del self._open[session.key]
        self._dispatchers.unsubscribe(stream)
        self._give_back_unwritten(session)
        grace_ms = session.terms.grace_ms
        if session.tracked and grace_ms and not drained and not self._draining:
            self._grace[session.key] = self._spawn(self._expire_later(session, grace_ms), "disconnect-grace")
        else:
            self._sessions.remove(session)
        self._note(session)
        if not self._open:
            self._all_ended.set()

    def _give_back_unwritten(self, session: Session) -> None:
        while session.parcels:
            self._give_back(session, session.parcels.popleft())

    def _give_back(self, session: Session, parcel: Parcel) -> None:
        """Unsent jobs return to their old place at once, whatever becomes of the stream."""
        self._sessions.dropped(session, parcel)
        if parcel.jobs:
            self._spawn(self._release(parcel.queue, parcel.leases()), "release")

    async def _release(self, queue: str, leases: list[Lease]) -> None:
        try:
            await self._engine.release(queue, leases)
        except errors.StoreUnavailable:
            _log.warning("release_failed", queue=queue, jobs=len(leases))  # their leases will run out

    async def _expire_later(self, session: Session, grace_ms: int) -> None:
        """The jobs of a worker that vanished run elsewhere soon; leases that were renewed since are not touched."""
        try:
            since: dict[str, int] = {}
            for queue, leases in session.leases_by_queue().items():
                since[queue] = (await self._engine.held(queue, leases[:1]))[0]
            await asyncio.sleep(grace_ms / 1000)
            for queue, leases in session.leases_by_queue().items():
                if queue in since:
                    ended = await self._engine.abandon(queue, leases, since_ms=since[queue])
                    _log.info("worker_vanished", worker=session.terms.worker_id, queue=queue, leases=ended)
        except errors.StoreUnavailable:
            _log.warning("worker_vanished_store_unavailable", worker=session.terms.worker_id)
        finally:
            self._grace.pop(session.key, None)
            if session.key not in self._open:
                self._sessions.remove(session)

    def _on_quiet(self, session: Session, stream: ClaimStream) -> None:
        if session.tracked > (session.unsettled if session.reports else 0):
            self._spawn(self._prune(session, stream), "prune")

    async def _prune(self, session: Session, stream: ClaimStream) -> None:
        """Forgets leases that were settled through another server or have run out."""
        stopped: list[tuple[str, bytes, LeaseWord]] = []
        try:
            for queue, leases in session.leases_by_queue().items():
                _, words = await self._engine.held(queue, leases)
                for lease, word in zip(leases, words, strict=True):
                    if word in {LeaseWord.LEASE_LOST, LeaseWord.CANCELLED}:
                        stopped.append((queue, lease.id, word))
                    if word in {LeaseWord.LEASE_LOST, LeaseWord.GONE}:
                        self._sessions.settled(lease.token, [lease.id], restated=False)
        except errors.StoreUnavailable:
            return
        if stopped:
            stream.add_cancelled(stopped)
        self._dispatchers.window_opened(session)

    def _note(self, session: Session) -> None:
        self._on_count(len(self._open))
        self._registry.note(session, connected=session.key in self._open)

    async def drain(self) -> None:
        """Ends all streams with Drain; unsent jobs go back at once."""
        self._draining = True
        for grace in self._grace.values():  # their leases will run out
            grace.cancel()
        self._all_ended.clear()
        for stream in list(self._open.values()):
            stream.drain()
        if self._open:
            await self._all_ended.wait()
