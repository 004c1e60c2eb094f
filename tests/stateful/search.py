"""Exhaustive search over the reference model: every order in which two workers, a reaper and faults can act.

Breadth first, so what it finds is as short as it can be. In every state it checks I4 (no running lease ends unless its
holder ends it), I5 (what was acked stays gone), I6 (only the holder's token changes a job) and I7 (attempts counted
and bounded, no job lost). Beside the model it keeps what was granted to whom, which the model does not know.

A crash is a worker that never acts again, and a repeated request is a lease used twice: both are among the orders
searched. A claim's reply may be lost. A failover loses the last write, and with it what was granted by it; but the
workers still hold their tokens.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from relay_server.model import ClaimGroup, Extension, Lease, NackedJob
from relay_server.words import LeaseWord, NackWord, State
from tests.stateful.contents import Spec
from tests.stateful.model import Model

WORKERS = ("w1", "w2")
JOBS = (b"job-1".ljust(16, b"."), b"job-2".ljust(16, b"."))
MAX_ATTEMPTS, MAX_EXPIRATIONS = 2, 2
BYTES_MAX = 1 << 20


class Grant(NamedTuple):
    """Who was given a job last, under which token, until when."""

    worker: str
    token: bytes
    deadline: float


@dataclass(frozen=True, slots=True)
class Store:
    """What a failover can take back by one write: the queue, and what it has granted and ended so far."""

    jobs: tuple[tuple[bytes, object], ...]
    claims: tuple[tuple[str, object], ...]
    grants: tuple[tuple[bytes, Grant], ...]
    acked: frozenset[bytes]
    claimed: int


@dataclass(frozen=True, slots=True)
class Situation:
    """All there is at one moment; `known` are the leases that workers heard of, `lost` claims whose reply was lost."""

    now: int
    store: Store
    before: Store
    known: frozenset[tuple[str, Lease]] = frozenset()
    lost: frozenset[tuple[str, bytes]] = frozenset()
    minted: int = 0
    failovers: int = 0


class Limits(NamedTuple):
    """What bounds the search."""

    time_ms: int = 4
    claims: int = 2
    failovers: int = 1
    lease_ms: int = 2


class Outcome(NamedTuple):
    """How a search ended: how many situations there are, and the shortest way to a broken invariant, if any."""

    situations: int
    broken: str
    way: tuple[str, ...]


Mint = Callable[[Situation], bytes]
Step = tuple[str, Situation, str]


def random_token(at: Situation) -> bytes:
    """Never the same twice, whatever the store has forgotten."""
    return b"random-%d" % at.minted


def counter_token(at: Situation) -> bytes:
    """The number of the claim by the store's own count, which a failover takes back."""
    return b"count-%d" % at.store.claimed


def search(mint: Mint, limits: Limits) -> Outcome:
    """Visits every situation within the limits, or stops at the first that breaks an invariant."""
    first = _beginning()
    came: dict[Situation, tuple[Situation, str] | None] = {first: None}
    frontier = [first]
    while frontier:
        following: list[Situation] = []
        for at in frontier:
            for name, then, broken in _steps(at, mint, limits):
                if broken:
                    return Outcome(len(came), broken, (*_way(came, at), name))
                if then not in came:
                    came[then] = (at, name)
                    following.append(then)
        frontier = following
    return Outcome(len(came), "", ())


def _way(came: dict[Situation, tuple[Situation, str] | None], at: Situation) -> list[str]:
    names: list[str] = []
    while (step := came[at]) is not None:
        at = step[0]
        names.append(step[1])
    return names[::-1]


def _beginning() -> Situation:
    model = Model(1, conf={"max_expirations": MAX_EXPIRATIONS})
    # The second job is one that waits: so promotion is part of the search.
    model.enqueue(b"", [_spec(JOBS[0]), _spec(JOBS[1])._replace(kind=1, ms=1)])
    store = Store(tuple(sorted(model.jobs.items())), (), (), frozenset(), 0)
    return Situation(1, store, store)


def _spec(job_id: bytes) -> Spec:
    return Spec(job_id, max_attempts=MAX_ATTEMPTS, initial_backoff_ms=1, max_backoff_ms=1, multiplier=1.0)


class _Act:
    """One write in the making: the queue, and who holds what."""

    def __init__(self, at: Situation) -> None:
        self.at = at
        self.model = Model(
            at.now,
            jobs=dict(at.store.jobs),  # type: ignore[arg-type]
            claims=dict(at.store.claims),  # type: ignore[arg-type]
            claims_until=1 << 40,
            conf={"max_expirations": MAX_EXPIRATIONS},
        )
        self.grants = dict(at.store.grants)
        self.acked = at.store.acked
        self.claimed = at.store.claimed
        self.broken = ""

    def done(self, by: tuple[str, bytes] | None = None) -> Situation:
        """Checks what changed. `by` is the worker that acted and its token, where one did."""
        held = dict(self.at.store.jobs)
        for job_id, grant in list(self.grants.items()):
            job, before = self.model.jobs.get(job_id), held.get(job_id)
            if job is not None and job.state is State.INFLIGHT and job.record.token == grant.token:
                continue
            if by == (grant.worker, grant.token) or grant.deadline <= self.at.now:
                del self.grants[job_id]
            elif before is not None and job != before:
                self.broken = f"I4, I6: {grant.worker} lost {job_id.decode()} while its lease was running"
        for job_id in JOBS:
            if (job_id in self.model.jobs) == (job_id in self.acked):
                self.broken = f"I5, I7: {job_id.decode()} was acked and is back, or was not and is lost"
        for job in self.model.jobs.values():
            if job.record.attempt > MAX_ATTEMPTS or job.record.expirations > MAX_EXPIRATIONS:
                self.broken = "I7: more attempts or expirations than allowed"
        store = Store(
            tuple(sorted(self.model.jobs.items())),
            tuple(sorted(self.model.claims.items())),
            tuple(sorted(self.grants.items())),
            self.acked,
            self.claimed,
        )
        return replace(self.at, store=store, before=self.at.store)


def _steps(at: Situation, mint: Mint, limits: Limits) -> Iterator[Step]:
    if at.now < limits.time_ms:
        yield "a millisecond passes", replace(at, now=at.now + 1), ""
    if at.failovers < limits.failovers and at.before != at.store:
        yield (
            "failover: the last write is lost",
            replace(at, store=at.before, before=at.before, failovers=at.failovers + 1),
            "",
        )
    for name in ("reap", "promote"):
        act = _Act(at)
        act.model.reap(1) if name == "reap" else act.model.promote(1)
        if tuple(sorted(act.model.jobs.items())) != at.store.jobs:
            yield name, act.done(), act.broken
    if at.minted < limits.claims:
        # The workers are alike, so the first to claim may as well be the first.
        for worker in WORKERS if at.minted else WORKERS[:1]:
            yield from _claims(at, worker, mint(at), limits.lease_ms)
    for worker, nonce in sorted(at.lost):
        act = _Act(at)
        act.model.hand_back_claim(worker, nonce)
        then = act.done(by=(worker, nonce))
        yield (
            f"{worker} takes its lost claim back",
            replace(then, lost=at.lost - {(worker, nonce)}),
            act.broken,
        )
    for worker, lease in sorted(at.known):
        yield from _settles(at, worker, lease)


def _claims(at: Situation, worker: str, token: bytes, lease_ms: int) -> Iterator[Step]:
    act = _Act(at)
    act.done()
    held = {job_id: grant for job_id, grant in act.grants.items() if grant.deadline > at.now}
    reply = act.model.claim(worker, token, [ClaimGroup(token, lease_ms, 1, worker)], BYTES_MAX)
    act.claimed += 1
    for job in reply.groups[0]:
        if job.id in held:
            act.broken = f"I4: {job.id.decode()} is given to {worker} while {held[job.id].worker} holds it"
        act.grants[job.id] = Grant(worker, token, at.now + lease_ms)
    broken = act.broken
    then = replace(act.done(), minted=at.minted + 1)
    broken = broken or act.broken
    heard = frozenset((worker, Lease(job.id, token)) for job in reply.groups[0])
    if heard:
        yield f"{worker} claims {token.decode()}", replace(then, known=at.known | heard), broken
        yield (
            f"{worker} claims {token.decode()}, the reply is lost",
            replace(then, lost=at.lost | {(worker, token)}),
            broken,
        )


def _settles(at: Situation, worker: str, lease: Lease) -> Iterator[Step]:
    for name in ("ack", "nack", "hand_back", "extend"):
        act = _Act(at)
        word = LeaseWord.OK
        if name == "ack":
            word = act.model.ack([lease])[0].word
        elif name == "nack":
            act.model.nack([NackedJob(*lease, NackWord.RETRY, -1, "", b"")])
        elif name == "hand_back":
            act.model.hand_back([lease])
        else:
            act.model.extend([Extension(*lease)], 0)
        changed = tuple(sorted(act.model.jobs.items())) != at.store.jobs
        if not changed:
            continue  # refused, or a repeated request: no second effect
        grant = dict(at.store.grants).get(lease.id)
        who = f"{worker} {name}s {lease.id[:5].decode()} with {lease.token.decode()}"
        if grant is None or (grant.worker, grant.token) != (worker, lease.token):
            yield who, at, f"I6: {worker} changes a job that it does not hold; {grant} does"
            return
        if name == "ack" and word is LeaseWord.OK:
            act.acked |= {lease.id}
        if name == "extend":
            act.grants[lease.id] = grant._replace(deadline=act.model.jobs[lease.id].at)
        yield who, act.done(by=(worker, lease.token)), act.broken
