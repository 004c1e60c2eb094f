"""One dispatcher a queue claims for all open windows at once, and knows when there is nothing to claim."""

import asyncio
import random
import time
from collections.abc import Callable, Iterable, Iterator, Set
from contextlib import nullcontext

import structlog

from relay_server import errors
from relay_server.claims.grants import Grant, Subscriber, reserve, unreserve
from relay_server.claims.hand_back import HandBack
from relay_server.claims.parcel import Parcel
from relay_server.claims.session import Session
from relay_server.claims.sessions import Sessions
from relay_server.engine import Transitions
from relay_server.engine.wakeups import Cancelled, Due, Ready, Subscribed, WakeUp
from relay_server.model import Claimed, ClaimedJob
from relay_server.words import ClaimStatus

_log = structlog.get_logger(__name__)

LOOK_MAX_S = 5.0
_BACKOFF_S, _BACKOFF_MAX_S = 0.05, 2.0


class Dispatcher:
    """Claims for the streams of one queue: it reserves slots first, and opens again those that no job filled.

    `looking` is true while the queue may hold jobs. A claim that comes back short makes it false, until somebody
    publishes on the queue's channel, the time comes that the claim named, or `look_max_s` passes: a lost message
    costs seconds, not the queue.
    """

    def __init__(
        self,
        queue: str,
        transitions: Transitions,
        sessions: Sessions,
        hand_back: HandBack,
        *,
        on_claimed: Callable[[str, list[ClaimedJob]], None],
        wanting: Callable[[Session], list[str]],
        siblings: Callable[[Session], Iterable["Dispatcher"]],
        look_max_s: Callable[[], float],
        first_looks: asyncio.Semaphore,
    ) -> None:
        self.queue = queue
        self.looking = True
        self._transitions = transitions
        self._sessions = sessions
        self._hand_back = hand_back
        self._on_claimed = on_claimed
        self._wanting = wanting
        self._siblings = siblings
        self._look_max_s = look_max_s
        self._first_looks: asyncio.Semaphore | None = first_looks
        self._subscribers: dict[str, Subscriber] = {}
        self._event = asyncio.Event()
        self._published = 0
        self._look_at = time.monotonic()
        self._store_ahead_s = time.time() - time.monotonic()
        self._failures = 0
        self._stopping = False
        self._claim: asyncio.Future[Claimed] | None = None  # the loop keeps no reference to a task

    @property
    def subscribers(self) -> dict[str, Subscriber]:
        return self._subscribers

    def published(self, wake_up: WakeUp) -> None:
        """A message of the queue's channel."""
        match wake_up:
            case Cancelled(ids):
                self._pass_on_cancelled(ids)
                return
            case Due(at_ms):
                # A job is due before all other delayed jobs: look again at its time. The reply of the last claim says
                # how far the store's clock is from ours.
                self._look_at = min(self._look_at, at_ms / 1000 - self._store_ahead_s)
            case Ready() | Subscribed():
                self._look()
        self._published += 1
        self._event.set()

    def window_opened(self) -> None:
        """A stream may be given more. A queue without jobs need not look: a stream on many would wake all of them."""
        if self.looking:
            self._event.set()

    def stop(self) -> None:
        """Ends `run` when the claim under way is done, unless resumed before."""
        self._stopping = True
        self._event.set()

    def resume(self) -> None:
        self._stopping = False

    async def run(self) -> None:
        """Dispatches until stopped."""
        while not self._stopping:
            self._event.clear()
            if not self.looking and time.monotonic() >= self._look_at:
                self._look()
            try:
                if self.looking and await self._claim_in_turn():
                    self._failures = 0
                    continue
            except errors.StoreUnavailable as error:
                self._hand_back.return_lost_claim(self.queue)
                await self._back_off("claim_unavailable", error)
            except Exception as error:  # noqa: BLE001 - a queue must not stop for a defect
                await self._back_off("claim_failed", error)
            else:
                await self._sleep(None if self.looking else self._look_at - time.monotonic())

    def _look(self) -> None:
        if not self.looking:
            self.looking = True
            for subscriber in self._subscribers.values():
                subscriber.session.catch_up(self.queue)

    async def _sleep(self, seconds: float | None) -> None:
        try:
            async with asyncio.timeout(max(0.0, seconds) if seconds is not None else LOOK_MAX_S):
                await self._event.wait()
        except TimeoutError:
            pass

    async def _back_off(self, event: str, error: Exception) -> None:
        self._failures += 1
        if self._failures in {1, 10} or self._failures % 100 == 0:
            _log.warning(event, queue=self.queue, error=repr(error), failures=self._failures)
        # While claims fail, the streams' other queues get this queue's share of the slots.
        self.looking = False
        self._wake_siblings()
        await asyncio.sleep(random.uniform(0, min(_BACKOFF_MAX_S, _BACKOFF_S * 2 ** min(self._failures, 8))))
        self._look()

    async def _claim_in_turn(self) -> bool:
        """Claims if a stream has free slots; False when none has. The first claim waits for its turn, and reserves no
        slots while it waits."""
        async with self._first_looks or nullcontext():
            grants = reserve(
                self.queue, self._subscribers.values(), wanting=self._wanting, wake=self.window_opened
            )
            if not grants:
                return False
            await self._claim_for(grants)
        self._first_looks = None
        return True

    async def _claim_for(self, grants: list[Grant]) -> None:
        published, started = self._published, time.monotonic()
        # Cancelling us does not cancel the script: its answer is awaited, and the jobs that it took are handed back.
        self._claim = claim = asyncio.ensure_future(
            self._transitions.claim(self.queue, [group for _, group in grants])
        )
        try:
            claimed = await asyncio.shield(claim)
        except asyncio.CancelledError:
            await self._hand_back_all(claim, grants, started)
            raise
        finally:
            for session in unreserve(grants):
                for dispatcher in self._siblings(session):
                    dispatcher.window_opened()
        self._plan(claimed, sum(group.jobs for _, group in grants), published)
        for subscriber, parcel in self._parcels(grants, claimed, started):
            if self._stopping or self._subscribers.get(subscriber.session.key) is not subscriber:
                self._hand_back.return_leases(self.queue, parcel.leases(), until=parcel.ends_at)
            else:
                self._deliver(subscriber, parcel)

    def _parcels(
        self, grants: list[Grant], claimed: Claimed, started: float
    ) -> Iterator[tuple[Subscriber, Parcel]]:
        for (subscriber, group), jobs in zip(grants, claimed.groups, strict=True):
            if jobs:
                yield subscriber, Parcel(self.queue, group.token, group.lease_ms, started, jobs)

    def _deliver(self, subscriber: Subscriber, parcel: Parcel) -> None:
        subscriber.session.accept(parcel)
        self._sessions.register(parcel.token, subscriber.session)
        self._on_claimed(self.queue, parcel.jobs)
        subscriber.notify()

    async def _hand_back_all(
        self, claim: asyncio.Future[Claimed], grants: list[Grant], started: float
    ) -> None:
        try:
            claimed = await claim
        except errors.StoreUnavailable:
            self._hand_back.return_lost_claim(self.queue)
            return
        for _, parcel in self._parcels(grants, claimed, started):
            self._hand_back.return_leases(self.queue, parcel.leases(), until=parcel.ends_at)

    def _plan(self, claimed: Claimed, wanted: int, published: int) -> None:
        """Decides when to claim again."""
        self._store_ahead_s = claimed.now_ms / 1000 - time.monotonic()
        given = sum(len(jobs) for jobs in claimed.groups)
        if claimed.more or (claimed.status is ClaimStatus.OK and given >= wanted):
            return
        if published != self._published:  # somebody published meanwhile
            return
        self.looking = False
        wait = self._look_max_s() * random.uniform(0.6, 1.0)
        if claimed.next_at_ms:
            wait = min(wait, max(0.0, (claimed.next_at_ms - claimed.now_ms) / 1000))
        self._look_at = time.monotonic() + wait
        self._wake_siblings()

    def _wake_siblings(self) -> None:
        """Slots that this queue does not want are free for the others."""
        for subscriber in self._subscribers.values():
            for sibling in self._siblings(subscriber.session):
                if sibling is not self:
                    sibling.window_opened()

    def _pass_on_cancelled(self, ids: Set[bytes]) -> None:
        for subscriber in self._subscribers.values():
            held = subscriber.session.holding(self.queue, ids)
            if held:
                subscriber.cancelled(self.queue, held)
