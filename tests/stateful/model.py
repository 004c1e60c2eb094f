"""The reference model: what one queue promises, in plain Python, written from the contract and not from the Lua.

It stands for I1 to I12, I14 and I17 as one small program: a job is one value in one dict, so it cannot be in two places
(I1, I2); every method is one whole step (I3, I9); a batch is its entries one after another. There is no Redis, no clock
(`now` is set by whoever drives it) and no chance: `backoff` decides what full jitter may choose.
"""

import math
import struct
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from relay_server.model import (
    Acked,
    CancelWord,
    Claimed,
    ClaimedJob,
    ClaimGroup,
    Enqueued,
    EnqueueWord,
    Extended,
    Extension,
    Failure,
    Lease,
    LeaseWord,
    Nacked,
    NackedJob,
    NackWord,
    Record,
    State,
    Swept,
)
from tests.stateful.contents import (
    ATTEMPTS,
    CLAIMS_MS,
    DEFAULTS,
    DELAY,
    EXPIRED,
    EXPIRES_MAX,
    FAILURE_BYTES_KEPT,
    FAILURE_HEAD_BYTES,
    FAILURES_KEPT,
    GIVEN_BACK_MS,
    GRACE_MS,
    LAST_CLAIM_MS,
    LEASE_EXPIRED_FAILURE,
    LOOK_AHEAD,
    LOOK_MS,
    NOTED_MS,
    NOW,
    OUTAGE_FAILURE,
    OUTAGE_MS,
    POISON,
    REJECTED,
    REJECTED_FAILURE,
    RETRY_FAILURE,
    RUN_AT,
    SEEN_MS,
    SPARED_MAX,
    STEP_BACK_MS,
    STOP_MS,
    THROTTLED_MS_MIN,
    UP_TO_DATE,
    Holder,
    Job,
    LastClaim,
    Seen,
    Spec,
)


def full_backoff(job_id: bytes, bound: int) -> int:
    """The longest delay that full jitter may choose."""
    return bound


@dataclass(slots=True)
class Model:
    """One queue. Values in its dicts never change in place, so a copy of the dicts is a copy of the queue."""

    now: int
    backoff: Callable[[bytes, int], int] = full_backoff
    jobs: dict[bytes, Job] = field(default_factory=dict)
    keys: dict[str, Holder] = field(default_factory=dict)
    seen: dict[bytes, Seen] = field(default_factory=dict)
    claims: dict[str, LastClaim] = field(default_factory=dict)
    claims_until: int = 0
    conf: dict[str, float] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    unreadable: set[bytes] = field(default_factory=set)  # of `jobs`: damaged, and nothing has met them yet
    aside: set[bytes] = field(default_factory=set)  # no longer in `jobs`

    def advance(self, ms: int) -> None:
        """The store's clock moves, perhaps back; what has a time to live and is past it, is gone."""
        self.now += ms
        self.keys = {key: held for key, held in self.keys.items() if held.until > self.now}
        self.seen = {request: seen for request, seen in self.seen.items() if seen.until > self.now}
        if self.claims_until <= self.now:
            self.claims = {}

    # --- producers

    def enqueue(self, request_id: bytes, specs: Sequence[Spec]) -> list[Enqueued]:
        seen = self.seen.get(request_id)
        if seen and len(seen.answers) != len(specs):
            return [Enqueued(spec.id, EnqueueWord.REUSED) for spec in specs]
        if seen:
            return [
                Enqueued(spec.id, answer.word) if answer.word is EnqueueWord.CREATED else answer
                for spec, answer in zip(specs, seen.answers, strict=True)
            ]
        answers = [self._admit(spec) for spec in specs]
        # What had no effect is not remembered: the queue may have room, or the key be free, the next time.
        if request_id and any(a.word in (EnqueueWord.CREATED, EnqueueWord.DUPLICATE) for a in answers):
            self.seen[request_id] = Seen(tuple(answers), self.now + SEEN_MS)
        return answers

    def _admit(self, spec: Spec) -> Enqueued:
        if spec.id in self.jobs or spec.id in self.aside:
            return Enqueued(spec.id, EnqueueWord.CREATED)
        held = self.keys.get(spec.key) if spec.key else None
        if held and held.content == spec.content:
            self.counts["deduplicated"] += 1
            return Enqueued(held.id, EnqueueWord.DUPLICATE)
        if held:
            return Enqueued(held.id, EnqueueWord.MISMATCH)
        if 0 < self._setting("max_jobs") <= len(self.jobs) + len(self.aside):
            return Enqueued(spec.id, EnqueueWord.FULL)
        due = {NOW: self.now, DELAY: self.now + spec.ms, RUN_AT: spec.ms}[spec.kind]
        due = max(due, self.now)
        record = self._new_record(spec, due)
        state = State.DELAYED if due > self.now else State.READY
        self.jobs[spec.id] = Job(state, due if due > self.now else record.score, record, spec.body)
        if spec.key:
            self.keys[spec.key] = Holder(spec.id, spec.content, self.now + spec.window_ms)
        self.counts["enqueued"] += 1
        return Enqueued(spec.id, EnqueueWord.CREATED)

    def _new_record(self, spec: Spec, due: int) -> Record:
        return Record(
            score=self._order(due, spec.priority), priority=spec.priority, cancelled=False, reason=0, attempt=0,
            expirations=0, max_attempts=spec.max_attempts, initial_backoff_ms=spec.initial_backoff_ms,
            max_backoff_ms=spec.max_backoff_ms, multiplier=spec.multiplier, max_runtime_ms=spec.max_runtime_ms,
            lease_ms=0, body_bytes=len(spec.body), epoch=0, claimed_ms=0, renewed_ms=0, expires_ms=spec.expires_ms,
            progress=0, token=b"", settled=b"", type="t", error_type="", worker_id="", note="",
        )  # fmt: skip

    # --- workers

    def claim(self, server: str, nonce: bytes, groups: Sequence[ClaimGroup], bytes_max: int) -> Claimed:
        given: list[list[ClaimedJob]] = [[] for _ in groups]
        want, rate, tokens = sum(group.jobs for group in groups), self._setting("rate"), 0.0
        if self._setting("paused"):
            return Claimed("PAUSED", self.now, False, 0, given)
        if rate > 0:
            tokens = self._bucket()
            if tokens < 1:
                self._fill_bucket(tokens)
                return Claimed("LIMITED", self.now, False, self._refilled_at(tokens), given)
            want = min(want, int(tokens))
        self._find_outage()
        self._end_leases(self._due(State.INFLIGHT, UP_TO_DATE))
        self._promote(self._due(State.DELAYED, UP_TO_DATE))
        chosen, more = self._choose(want, bytes_max)
        taken = self._lease(chosen, groups, given)
        if chosen:
            given_tokens = {token for token, _ in taken}
            leases_ms = [group.lease_ms for group in groups if group.token in given_tokens]
            added = server not in self.claims
            self.claims[server] = LastClaim(nonce, taken, self.now + max(leases_ms))
            if added:
                self._forget_claims()
            self.claims_until = self.now + CLAIMS_MS
            if self.now - self.conf.get("clock", -math.inf) > NOTED_MS:
                self.conf["clock"] = self.now
        else:
            self.claims.pop(server, None)
        if rate > 0:
            tokens -= len(chosen)
            self._fill_bucket(tokens)
        next_at = 0
        if rate > 0 or len(chosen) < want:
            times = [self._head(State.DELAYED), self._head(State.INFLIGHT)]
            if rate > 0 and tokens < 1 and self._in(State.READY):
                times.append(self._refilled_at(tokens))
            next_at = min(filter(None, times), default=0)
        return Claimed("OK", self.now, more and len(chosen) < want, next_at, given)

    def _choose(self, want: int, bytes_max: int) -> tuple[list[bytes], bool]:
        """The head of the queue, jobs past `expires_at` buried on the way; and whether a limit ended the search."""
        order, chosen, size, looked, full = self._in(State.READY), list[bytes](), 0, 0, False
        while len(chosen) < want and not full and looked < min(len(order), EXPIRES_MAX):
            page = order[
                looked : min(looked + max(want - len(chosen), LOOK_AHEAD if looked else 1), EXPIRES_MAX)
            ]
            looked += len(page)
            for job_id in page:
                record = self.jobs[job_id].record
                if self._set_aside(job_id, State.READY):
                    pass
                elif 0 < record.expires_ms <= self.now:
                    self._bury(job_id, record, EXPIRED)
                elif len(chosen) >= want or (chosen and size + record.body_bytes > bytes_max):
                    full = True
                    break
                else:
                    size += record.body_bytes
                    chosen.append(job_id)
        return chosen, full or looked >= EXPIRES_MAX

    def _lease(
        self, chosen: list[bytes], groups: Sequence[ClaimGroup], given: list[list[ClaimedJob]]
    ) -> tuple[tuple[bytes, tuple[bytes, ...]], ...]:
        turn = -1
        for job_id in chosen:
            turn = (turn + 1) % len(groups)
            while len(given[turn]) >= groups[turn].jobs:
                turn = (turn + 1) % len(groups)
            group, job = groups[turn], self.jobs[job_id]
            record = replace(
                job.record, attempt=job.record.attempt + 1, epoch=max(job.record.epoch + 1, self.now),
                claimed_ms=self.now, renewed_ms=self.now, lease_ms=group.lease_ms, token=group.token,
                worker_id=group.worker_id, progress=0, note="",
            )  # fmt: skip
            since = job.record.score + record.priority * self._setting("priority_step")
            waited = int(max(0, self.now - since))
            self._put(job_id, State.INFLIGHT, self.now + group.lease_ms, record)
            self.counts["claimed"] += 1
            given[turn].append(
                ClaimedJob(job_id, record.attempt, record.max_attempts, record.epoch, waited, job.body)
            )
        return tuple(
            (g.token, tuple(j.id for j in jobs)) for g, jobs in zip(groups, given, strict=True) if jobs
        )

    def ack(self, leases: Sequence[Lease]) -> list[Acked]:
        return [self._ack(lease) for lease in leases]

    def _ack(self, lease: Lease) -> Acked:
        self._set_aside(lease.id, State.INFLIGHT)
        word = self._word(lease)
        if word is LeaseWord.LEASE_LOST:
            self.counts["stale"] += 1
        if word in (LeaseWord.LEASE_LOST, LeaseWord.GONE):
            return Acked(word, -1)
        ran = max(0, self.now - self.jobs.pop(lease.id).record.claimed_ms)
        self.counts["acked" if word is LeaseWord.OK else "cancelled"] += 1
        return Acked(word, ran)

    def nack(self, jobs: Sequence[NackedJob]) -> list[Nacked]:
        return [self._nack(job) for job in jobs]

    def _nack(self, nack: NackedJob) -> Nacked:
        self._set_aside(nack.id, State.INFLIGHT)
        word = self._word(Lease(nack.id, nack.token))
        if word is LeaseWord.CANCELLED:
            self._remove(nack.id, "cancelled")
        if word is LeaseWord.LEASE_LOST and self.jobs[nack.id].record.settled[:16] == nack.token:
            _, state, delay = struct.unpack("<16sBd", self.jobs[nack.id].record.settled)
            return Nacked(LeaseWord.OK, state, int(delay))
        if word is LeaseWord.LEASE_LOST:
            self.counts["stale"] += 1
        if word is not LeaseWord.OK:
            return Nacked(word, 0, 0)
        record = self.jobs[nack.id].record
        if nack.kind in (NackWord.RETRY, NackWord.DEAD):
            kind = RETRY_FAILURE if nack.kind is NackWord.RETRY else REJECTED_FAILURE
            record = self._fail(nack.id, replace(record, error_type=nack.error_type), kind, nack.error)
        if nack.kind is NackWord.DEAD or (
            nack.kind is NackWord.RETRY and record.attempt >= record.max_attempts
        ):
            reason = REJECTED if nack.kind is NackWord.DEAD else ATTEMPTS
            self._bury(nack.id, self._settle(record, State.DEAD, 0), reason)
            return Nacked(word, State.DEAD, 0)
        if nack.kind is NackWord.RETRY:
            self.counts["retried"] += 1
            delay = nack.after_ms if nack.after_ms >= 0 else self._backoff(nack.id, record)
        else:
            self.counts["released"] += 1
            delay = nack.after_ms if nack.after_ms >= 0 else GIVEN_BACK_MS
            delay = max(delay, GIVEN_BACK_MS if nack.kind is NackWord.RELEASE else THROTTLED_MS_MIN)
            record = replace(record, attempt=max(record.attempt - 1, 0))
        state = State.DELAYED if delay > 0 else State.READY
        self._back_off(nack.id, self._settle(record, state, delay), delay)
        return Nacked(word, state, delay)

    def extend(self, leases: Sequence[Extension], lease_ms: int) -> list[Extended]:
        return [self._extend(lease, lease_ms) for lease in leases]

    def _extend(self, e: Extension, lease_ms: int) -> Extended:
        word = self._word(Lease(e.id, e.token))
        if word is LeaseWord.LEASE_LOST:
            self.counts["stale"] += 1
        if word in (LeaseWord.LEASE_LOST, LeaseWord.GONE):
            return Extended(word, 0)
        job = self.jobs[e.id]
        record = replace(job.record, lease_ms=lease_ms or job.record.lease_ms, renewed_ms=self.now)
        if e.fraction >= 0:
            record = replace(record, progress=e.fraction, note=e.note)
        deadline = max(self.now + record.lease_ms, job.at)
        if record.max_runtime_ms:
            deadline = min(deadline, record.claimed_ms + record.max_runtime_ms + STOP_MS)
        self._put(e.id, State.INFLIGHT, deadline, record)
        return Extended(word, int(max(0, deadline - self.now)))

    # --- the server's own care for leases

    def held(self, leases: Sequence[Lease]) -> list[LeaseWord]:
        return [self._word(lease) for lease in leases]

    def release(self, leases: Sequence[Lease]) -> int:
        return sum(self._hand_back(lease) for lease in leases)

    def unclaim(self, server: str, nonce: bytes) -> tuple[str, int]:
        last = self.claims.get(server)
        if last is None or last.nonce != nonce:
            return "NONE", 0
        del self.claims[server]
        return "OK", sum(self._hand_back(Lease(i, token)) for token, ids in last.groups for i in ids)

    def _hand_back(self, lease: Lease) -> bool:
        self._set_aside(lease.id, State.INFLIGHT)
        word = self._word(lease)
        if word is LeaseWord.CANCELLED:
            self._remove(lease.id, "cancelled")
        elif word is LeaseWord.OK:
            record = self.jobs[lease.id].record
            record = replace(record, attempt=max(record.attempt - 1, 0), token=b"")
            self._put(lease.id, State.READY, record.score, record)
            self.counts["handed_back"] += 1
        return word in (LeaseWord.OK, LeaseWord.CANCELLED)

    def abandon(self, leases: Sequence[Lease], since_ms: int) -> int:
        ended = 0
        for lease in leases:
            self._set_aside(lease.id, State.INFLIGHT)
            held = self._word(lease) in (LeaseWord.OK, LeaseWord.CANCELLED)
            if held and self.jobs[lease.id].record.renewed_ms <= since_ms:
                self._expire([lease.id])
                ended += 1
        return ended

    # --- loops

    def reap(self, limit: int) -> Swept:
        stepped = self.now < self.conf.get("clock", self.now) - STEP_BACK_MS
        if stepped:
            self.counts["clock_steps"] += 1
            for job_id in self._in(State.INFLIGHT):
                if job_id in self.unreadable:
                    continue
                job = self.jobs[job_id]
                self._put(job_id, State.INFLIGHT, min(job.at, self.now + job.record.lease_ms), job.record)
        self._forget_claims()
        if not stepped:
            self._find_outage()
        due = self._due(State.INFLIGHT, limit)
        buried = self._end_leases(due, spared=not stepped)
        if stepped or (len(due) < limit and self.now > self.conf.get("outage_to", math.inf) + GRACE_MS):
            self.conf.pop("outage_from", None)
            self.conf.pop("outage_to", None)
        if stepped or self._in(State.INFLIGHT):
            self.conf["clock"] = self.now
        look_at = min(self._head(State.INFLIGHT), self.now + LOOK_MS)
        return Swept(len(due), buried, len(due) >= limit, look_at)

    def promote(self, limit: int) -> Swept:
        due = self._due(State.DELAYED, limit)
        buried = self._promote(due)
        return Swept(len(due), buried, len(due) >= limit, self._head(State.DELAYED))

    # --- operators

    def requeue(self, ids: Sequence[bytes], died_until_ms: int) -> int:
        n = 0
        for job_id in ids:
            self._set_aside(job_id, State.DEAD)
        for job_id in self._dead_until(ids, died_until_ms):
            record = replace(self.jobs[job_id].record, attempt=0, expirations=0, reason=0, error_type="")
            if record.expires_ms <= self.now:
                record = replace(record, expires_ms=0)
            self._make_ready(job_id, record, self.now)
            n += 1
        self.counts["requeued"] += n
        return n

    def purge_dead(self, ids: Sequence[bytes], died_until_ms: int) -> int:
        return sum(self._remove(job_id, "purged") for job_id in self._dead_until(ids, died_until_ms))

    def _dead_until(self, ids: Sequence[bytes], died_until_ms: int) -> list[bytes]:
        dead = [i for i in dict.fromkeys(ids) if i in self.jobs and self.jobs[i].state is State.DEAD]
        return [job_id for job_id in dead if self.jobs[job_id].at <= died_until_ms]

    def purge(self, limit: int, aside_left: set[bytes]) -> int:
        """`aside_left` is what the engine left of the jobs set aside, which have no order."""
        waiting = self._in(State.READY) + self._in(State.DELAYED)
        n = sum(self._remove(job_id, "purged") for job_id in waiting[:limit])
        dropped = min(limit - n, len(self.aside))
        follows = aside_left <= self.aside and len(self.aside - aside_left) == dropped
        self.aside = set(aside_left) if follows else set(sorted(self.aside)[dropped:])
        self.counts["purged"] += dropped
        return n + dropped

    def cancel(self, ids: Sequence[bytes]) -> list[CancelWord]:
        return [self._cancel(job_id) for job_id in ids]

    def _cancel(self, job_id: bytes) -> CancelWord:
        if job_id in self.aside:
            self.aside.discard(job_id)
            self.counts["cancelled"] += 1
            return CancelWord.REMOVED
        job = self.jobs.get(job_id)
        if job is None:
            return CancelWord.GONE
        if job_id in self.unreadable:
            if job.state is State.DEAD:
                return CancelWord.GONE
            self._remove(job_id, "cancelled")
            return CancelWord.REMOVED
        if job.state is State.DEAD:
            return CancelWord.DEAD
        if job.state is State.INFLIGHT:
            self._put(job_id, job.state, job.at, replace(job.record, cancelled=True))
            return CancelWord.FLAGGED
        self._remove(job_id, "cancelled")
        return CancelWord.REMOVED

    def run_now(self, job_id: bytes) -> str:
        self._set_aside(job_id, State.DELAYED)
        job = self.jobs.get(job_id)
        if job is None or job_id in self.unreadable:
            return "GONE"
        if job.state is not State.DELAYED:
            return "WRONG_STATE"
        self._make_ready(job_id, job.record, self.now)
        return "OK"

    def pause(self) -> None:
        self.conf["paused"] = 1

    def resume(self) -> None:
        self.conf.pop("paused", None)

    def configure(self, settings: dict[str, float]) -> None:
        self.conf |= {**settings, "configured": 1}
        if settings.keys() & {"rate", "burst"}:  # a changed rate starts with a full bucket
            self.conf.pop("tokens", None)
            self.conf.pop("tokens_at", None)

    def forget(self) -> bool:
        if self.jobs or self.aside:
            return False
        self.conf, self.counts, self.claims = {}, Counter(), {}
        return True

    # --- what the transitions are made of

    def _setting(self, name: str) -> float:
        return self.conf.get(name, DEFAULTS.get(name, 0))

    def _order(self, since: float, priority: int) -> float:
        return since - priority * self._setting("priority_step")

    def _in(self, state: State) -> list[bytes]:
        """Ids of one state, next first."""
        return [i for _, i in sorted((job.at, i) for i, job in self.jobs.items() if job.state is state)]

    def _due(self, state: State, limit: int) -> list[bytes]:
        return [i for i in self._in(state) if self.jobs[i].at <= self.now][:limit]

    def _head(self, state: State) -> int:
        return int(min((job.at for job in self.jobs.values() if job.state is state), default=0))

    def _put(self, job_id: bytes, state: State, at: float, record: Record) -> None:
        self.jobs[job_id] = self.jobs[job_id]._replace(state=state, at=at, record=record)

    def _remove(self, job_id: bytes, counter: str) -> bool:
        del self.jobs[job_id]
        self.unreadable.discard(job_id)
        self.counts[counter] += 1
        return True

    def damage(self, job_id: bytes) -> None:
        """What is stored of the job can no longer be read."""
        self.unreadable.add(job_id)

    def _set_aside(self, job_id: bytes, state: State) -> bool:
        """A job that cannot be read goes aside when something meets it where it looks for jobs."""
        job = self.jobs.get(job_id)
        if job is None or job_id not in self.unreadable or job.state is not state:
            return False
        del self.jobs[job_id]
        self.unreadable.discard(job_id)
        self.aside.add(job_id)
        self.counts["unreadable"] += 1
        return True

    def _word(self, lease: Lease) -> LeaseWord:
        job = self.jobs.get(lease.id)
        if job is None or lease.id in self.unreadable:
            return LeaseWord.GONE
        if job.state is not State.INFLIGHT or job.record.token != lease.token:
            return LeaseWord.LEASE_LOST
        return LeaseWord.CANCELLED if job.record.cancelled else LeaseWord.OK

    def _settle(self, record: Record, state: State, delay: int) -> Record:
        return replace(record, token=b"", settled=struct.pack("<16sBd", record.token, state, delay))

    def _make_ready(self, job_id: bytes, record: Record, since: float) -> None:
        score = self._order(since, record.priority)
        self._put(job_id, State.READY, score, replace(record, score=score))

    def _back_off(self, job_id: bytes, record: Record, delay: int) -> None:
        if delay > 0:
            self._put(job_id, State.DELAYED, self.now + delay, record)
        else:
            self._make_ready(job_id, record, self.now)

    def _backoff(self, job_id: bytes, record: Record) -> int:
        bound = record.initial_backoff_ms * record.multiplier ** (record.attempt - 1)
        return self.backoff(job_id, int(min(bound, record.max_backoff_ms)))

    def _bury(self, job_id: bytes, record: Record, reason: int) -> None:
        self._put(job_id, State.DEAD, self.now, replace(record, reason=reason, token=b""))
        self.counts["dead"] += 1

    def _fail(self, job_id: bytes, record: Record, kind: int, error: bytes) -> Record:
        job = self.jobs[job_id]
        failures = [
            Failure(
                at_ms=self.now, attempt=record.attempt, kind=kind, worker_id=record.worker_id, error=error
            )
        ]
        size = _failure_bytes(failures[0])
        for old in reversed(job.failures):
            size += _failure_bytes(old)
            if len(failures) >= FAILURES_KEPT or size > FAILURE_BYTES_KEPT:
                break
            failures.insert(0, old)
        self.jobs[job_id] = job._replace(failures=tuple(failures))
        return record

    def _expire(self, ids: list[bytes]) -> int:
        """Ends leases that ran out; returns how many jobs were buried."""
        buried = 0
        for job_id in ids:
            if self._set_aside(job_id, State.INFLIGHT):
                continue
            record = self.jobs[job_id].record
            self.counts["expired"] += 1
            if record.cancelled:
                self._remove(job_id, "cancelled")
                continue
            record = replace(record, expirations=record.expirations + 1, error_type="LeaseExpired", token=b"")
            self._fail(job_id, record, LEASE_EXPIRED_FAILURE, b"")
            if record.expirations >= self._setting("max_expirations"):
                self._bury(job_id, record, POISON)
            elif record.attempt >= record.max_attempts:
                self._bury(job_id, record, ATTEMPTS)
            else:
                self._back_off(job_id, record, self._backoff(job_id, record))
            buried += self.jobs[job_id].state is State.DEAD
        return buried

    # --- leases that ended while no server was there

    def looked(self) -> None:
        """A server is there: its reaper looked at the queue a moment ago."""
        if self.conf.get("clock", self.now) < self.now - NOTED_MS:
            self.conf["clock"] = self.now

    def _forget_claims(self) -> None:
        """Those whose leases are long over. There are fewer servers than a script forgets at once."""
        self.claims = {
            server: last for server, last in self.claims.items() if last.until > self.now - LAST_CLAIM_MS
        }

    def _find_outage(self) -> None:
        seen = self.conf.get("clock", self.now)
        if self.now - seen > OUTAGE_MS and self._in(State.INFLIGHT):
            self.conf |= {"outage_from": seen, "outage_to": self.now, "clock": self.now}

    def _end_leases(self, ids: list[bytes], *, spared: bool = True) -> int:
        """Leases that ran out: those of an outage wait for their workers, then go back with their attempt."""
        return self._expire([job_id for job_id in ids if not (spared and self._spare(job_id))])

    def _spare(self, job_id: bytes) -> bool:
        if job_id in self.unreadable:
            return False
        job = self.jobs[job_id]
        record, until = job.record, self.conf.get("outage_to", -math.inf) + GRACE_MS
        renewed_since = record.renewed_ms >= self.conf.get("outage_to", -math.inf)
        if record.cancelled or renewed_since or not self.conf["outage_from"] < job.at <= until:
            return False
        if self.now < until:
            self._put(job_id, State.INFLIGHT, until, record)
            return True
        if sum(failure.kind == OUTAGE_FAILURE for failure in job.failures) >= SPARED_MAX:
            return False
        self._fail(job_id, record, OUTAGE_FAILURE, b"")
        record = replace(record, attempt=max(record.attempt - 1, 0), token=b"")
        self._put(job_id, State.READY, record.score, record)
        self.counts["spared"] += 1
        return True

    def _promote(self, ids: list[bytes]) -> int:
        buried = 0
        for job_id in ids:
            if self._set_aside(job_id, State.DELAYED):
                continue
            job = self.jobs[job_id]
            if 0 < job.record.expires_ms <= self.now:
                self._bury(job_id, job.record, EXPIRED)
                buried += 1
            else:
                self._make_ready(job_id, job.record, job.at)
                self.counts["promoted"] += 1
        return buried

    # --- the token bucket

    def _bucket(self) -> float:
        rate, burst = self._setting("rate"), self._setting("burst")
        burst = burst or max(rate, 1)
        elapsed = max(self.now - self.conf.get("tokens_at", self.now), 0)
        return min(burst, self.conf.get("tokens", burst) + elapsed * rate / 1000)

    def _fill_bucket(self, tokens: float) -> None:
        self.conf["tokens"], self.conf["tokens_at"] = float(f"{tokens:.6f}"), self.now

    def _refilled_at(self, tokens: float) -> int:
        return self.now + max(1, math.ceil((1 - tokens) * 1000 / self._setting("rate")))


def _failure_bytes(failure: Failure) -> int:
    return FAILURE_HEAD_BYTES + len(failure.worker_id) + len(failure.error)
