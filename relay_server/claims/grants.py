"""Grants slots of many sessions to one claim, and reserves room for the jobs that it may bring."""

import os
import random
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol

from relay_server.claims.rooms import Room
from relay_server.claims.session import Session
from relay_server.engine.batching import JOBS_MAX
from relay_server.model import ClaimGroup


class Subscriber(Protocol):
    """A stream that takes jobs of several queues."""

    session: Session

    def notify(self) -> None:
        """There are parcels to write."""

    def cancelled(self, queue: str, ids: set[bytes]) -> None:
        """An operator cancelled these jobs."""


class Grant(NamedTuple):
    """Slots of one session, reserved until the claim is over, and the token of the leases that it brings."""

    subscriber: Subscriber
    group: ClaimGroup


def reserve(
    queue: str,
    subscribers: Iterable[Subscriber],
    *,
    wanting: Callable[[Session], list[str]],
    wake: Callable[[], None],
) -> list[Grant]:
    """Reserves slots of each stream with an open window, at most a batch in all, in random order for fairness.

    `wake` is called, once, when a stream that had no room may have some.
    """
    shuffled = list(subscribers)
    random.shuffle(shuffled)
    grants: list[Grant] = []
    left = JOBS_MAX
    for i, subscriber in enumerate(shuffled):
        session = subscriber.session
        fair = -(-left // (len(shuffled) - i))
        slots = min(session.share(queue, wanting(session)), fair, left)
        if slots > 0:
            session.reserve(slots)
            left -= slots
            terms = session.terms
            grants.append(
                Grant(subscriber, ClaimGroup(os.urandom(16), terms.lease_ms, slots, terms.worker_id))
            )
        elif not session.has_room:
            session.owes_a_look = True
            if not session.room.open:
                session.room.await_room(queue, wake)
    for room in _rooms(grants):
        room.reserve()
    return grants


def unreserve(grants: Sequence[Grant]) -> list[Session]:
    """The claim is over. Returns the sessions that have room again, and whose queues should look again."""
    for room in _rooms(grants):
        room.unreserve()
    return [subscriber.session for subscriber, group in grants if subscriber.session.unreserve(group.jobs)]


def _rooms(grants: Iterable[Grant]) -> set[Room]:
    """Each room reserves the size of one reply once, also when several of its sessions take part."""
    return {subscriber.session.room for subscriber, _ in grants}
