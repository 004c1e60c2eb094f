"""One Claim stream: writes what its session is given, keeps it alive, and hands back what it never began to write."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterable
from itertools import islice
from typing import Any, Protocol, TypeAlias

from relay_server import limits
from relay_server.claims.parcel import Parcel, Sent
from relay_server.claims.session import Session
from relay_server.model import ClaimedJob
from relay_server.words import LeaseWord

_AGE_JITTER = 0.2
_TIMER_EARLY_S = 0.01  # timers may fire a little early
# The stream of a client that reads nothing for so long, and for a whole lease, ends: gRPC keeps its frames in memory.
_READS_WITHIN_S = 30.0

Frame: TypeAlias = Any  # a message on its way to the worker: `Frames` makes it, `Write` takes it
Write: TypeAlias = Callable[[Frame], Awaitable[None]]


class Frames(Protocol):
    """Makes the messages of a stream."""

    def started(self, name: str, session: Session, *, keep_alive_s: float) -> Frame: ...
    def jobs(self, parcel: Parcel, left_ms: int) -> tuple[Frame, list[ClaimedJob]]:
        """Returns a frame with the readable jobs, and a list of the unreadable ones."""

    def cancelled(self, jobs: Iterable[tuple[str, bytes, LeaseWord]]) -> Frame: ...
    def keep_alive(self, unsettled: int) -> Frame: ...
    def drain(self) -> Frame: ...


class Streams(Protocol):
    """ClaimStreams, which opened the stream: it hands jobs back, sets them aside and opens windows."""

    def hand_back(self, session: Session, parcel: Parcel) -> None: ...
    def set_aside(self, session: Session, parcel: Parcel) -> None: ...
    def check_leases(self, stream: "ClaimStream") -> None:
        """Finds out which leases of the session have ended. Called once a keep-alive interval, or more often."""

    def reads_again(self, session: Session) -> None: ...


class ClaimStream:
    """A stream and the session it serves. `serve` returns when the stream drains or another one supersedes it; it
    raises when the client leaves.
    """

    def __init__(
        self,
        session: Session,
        frames: Frames,
        write: Write,
        streams: Streams,
        *,
        keep_alive_s: float,
        age_max_s: float,
    ) -> None:
        self.session = session
        self._frames = frames
        self._write_frame = write
        self._streams = streams
        self._keep_alive_s = keep_alive_s
        self._ends_at = time.monotonic() + age_max_s * random.uniform(1 - _AGE_JITTER, 1 + _AGE_JITTER)
        self._check_at = time.monotonic() + self._check_every_s
        self._silent_since = time.monotonic()
        self._handler = asyncio.current_task()
        self._notified = asyncio.Event()
        self._cancelled: dict[tuple[str, bytes], LeaseWord] = {}
        self._writing: Sent | None = None
        self._draining = False
        self.superseded = False

    def notify(self) -> None:
        self._notified.set()

    def cancelled(self, queue: str, ids: set[bytes]) -> None:
        self.add_cancelled([(queue, id_, LeaseWord.CANCELLED) for id_ in ids])

    def add_cancelled(self, jobs: Iterable[tuple[str, bytes, LeaseWord]]) -> None:
        """Tells the worker to stop these jobs: each once, though it is added again before the worker reads."""
        self._cancelled.update({(queue, id_): word for queue, id_, word in jobs})
        self._notified.set()

    def drain(self) -> None:
        """The stream is to end: jobs that wait are handed back now, a frame that is being written may still arrive."""
        self._draining = True
        self.hand_back_waiting()
        self._notified.set()

    def supersede(self) -> None:
        """The worker opened another stream for the same session; this one ends without a Drain."""
        self.superseded = True
        self.end()
        self._notified.set()

    def hand_back_waiting(self) -> None:
        while self.session.parcels:
            self._streams.hand_back(self.session, self.session.parcels.popleft())

    def end(self) -> None:
        """No more is written. A frame that was being written may have arrived, so its jobs stay leased."""
        writing, self._writing = self._writing, None
        if writing is not None:
            self.session.in_doubt.append(writing)
        self.hand_back_waiting()

    def abort(self) -> None:
        """Ends the handler of this stream although a write is under way, because the client does not read."""
        if self._handler is not None:
            self._handler.cancel()

    async def serve(self) -> None:
        """Writes frames until the stream is to end."""
        while not self.superseded:
            self._notified.clear()
            await self._write_waiting()
            if self._draining or time.monotonic() >= self._ends_at:
                await self._write(self._frames.drain())
                return
            if self.session.parcels or self._cancelled:
                self._notified.set()
            silent_at = self._silent_since + self._keep_alive_s
            wait_s = min(silent_at, self._ends_at, self._check_at) - time.monotonic()
            try:
                async with asyncio.timeout(max(0.0, wait_s)):
                    await self._notified.wait()
            except TimeoutError:
                if time.monotonic() >= silent_at:
                    await self._write(self._frames.keep_alive(self.session.unsettled))
            # This runs on a busy stream too. Without it the session would keep leases that were settled through other
            # servers.
            if self._check_due:
                self._check_at = time.monotonic() + self._check_every_s
                self._streams.check_leases(self)

    async def _write(self, frame: Frame) -> None:
        await self._write_frame(frame)
        self._silent_since = time.monotonic()

    @property
    def _check_every_s(self) -> float:
        """A worker that never reports may settle elsewhere: its leases, while they run, show that it is alive."""
        lease_s = self.session.terms.lease_ms / 1000
        return self._keep_alive_s if self.session.reports else min(self._keep_alive_s, lease_s / 3)

    @property
    def _check_due(self) -> bool:
        return time.monotonic() >= self._check_at

    async def _write_waiting(self) -> None:
        while self._cancelled and not self.superseded:
            named = list(islice(self._cancelled, limits.FRAME_CANCELLED_MAX))
            stopped = [(*job, self._cancelled.pop(job)) for job in named]
            await self._write(self._frames.cancelled(stopped))
        parcels = self.session.parcels
        # A quick worker keeps parcels coming: stop for whatever else `serve` has to do.
        while parcels and not (self._draining or self.superseded or self._cancelled or self._check_due):
            parcel = parcels[0]
            if parcel.half_over:
                self._streams.hand_back(self.session, parcels.popleft())
                continue
            frame = parcel.cut(_fitting(parcel))
            if not parcel.jobs:
                parcels.popleft()
            await self._write_jobs(frame)

    async def _write_jobs(self, parcel: Parcel) -> None:
        left_ms = parcel.left_ms()
        frame, unreadable = self._frames.jobs(parcel, left_ms)
        if unreadable:
            self._streams.set_aside(self.session, parcel.take_out(unreadable))
            if not parcel.jobs:
                return
        size = parcel.size()
        self._writing = Sent(parcel.queue, parcel.leases(), parcel.ends_at)
        self.session.sending(len(parcel.jobs))
        parcel.jobs.clear()  # the frame holds them, maybe for long
        loop = asyncio.get_running_loop()
        half_over_s = max(0.0, (left_ms - parcel.lease_ms / 2) / 1000) + _TIMER_EARLY_S
        stalls = loop.call_later(half_over_s, self._stall)
        ends = loop.call_later(max(_READS_WITHIN_S, left_ms / 1000), self.abort)
        try:
            await self._write(frame)
            self._writing = None
        finally:
            stalls.cancel()
            ends.cancel()
            self._written(size)

    def _written(self, size: int) -> None:
        """A frame of jobs is written, or never will be."""
        made_room = self.session.let_go(size)
        if self.session.stalled and not self.superseded:
            self.session.stalled, made_room = False, True
        if made_room:
            self._streams.reads_again(self.session)

    def _stall(self) -> None:
        """The client has not read for half of a lease: hands back the jobs that wait, and stops claims for it."""
        if not self.superseded:
            self.session.stalled = True
            self.hand_back_waiting()


def _fitting(parcel: Parcel) -> int:
    """How many of its first jobs go into one frame."""
    n = size = 0
    for job in parcel.jobs[: limits.FRAME_JOBS_MAX]:
        size += len(job.body)
        if n and size > limits.FRAME_BYTES_MAX:
            break
        n += 1
    return n
