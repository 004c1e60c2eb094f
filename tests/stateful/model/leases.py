"""How leases end without their worker: handed back, abandoned, run out, spared after an outage; and what comes due."""

import math
from collections.abc import Sequence
from dataclasses import replace

from relay_server.model import Lease, Swept
from relay_server.words import DeadReason, FailureKind, LeaseWord, State
from tests.stateful.contents import (
    GRACE_MS,
    LAST_CLAIM_MS,
    LOOK_MS,
    OUTAGE_MS,
    SPARED_MAX,
    STEP_BACK_MS,
)
from tests.stateful.model.queue import Queue


class Leases(Queue):
    """inflight -> anything else, delayed -> ready; what loops and the server itself do."""

    __slots__ = ()

    def hand_back(self, leases: Sequence[Lease]) -> int:
        return sum(self._hand_back_one(lease) for lease in leases)

    def hand_back_claim(self, server: str, nonce: bytes) -> tuple[str, int]:
        last = self.claims.get(server)
        if last is None or last.nonce != nonce:
            return "NONE", 0
        del self.claims[server]
        return "OK", sum(self._hand_back_one(Lease(i, token)) for token, ids in last.groups for i in ids)

    def _hand_back_one(self, lease: Lease) -> bool:
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

    def held(self, leases: Sequence[Lease]) -> list[LeaseWord]:
        return [self._word(lease) for lease in leases]

    def abandon(self, leases: Sequence[Lease], since_ms: int) -> int:
        ended = 0
        for lease in leases:
            self._set_aside(lease.id, State.INFLIGHT)
            held = self._word(lease) in (LeaseWord.OK, LeaseWord.CANCELLED)
            if held and self.jobs[lease.id].record.extended_ms <= since_ms:
                self._expire([lease.id])
                ended += 1
        return ended

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
        return Swept(len(due), buried, len(due) >= limit, look_at, self.now)

    def promote(self, limit: int) -> Swept:
        due = self._due(State.DELAYED, limit)
        buried = self._promote(due)
        return Swept(len(due), buried, len(due) >= limit, self._head(State.DELAYED), self.now)

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
            self._fail(job_id, record, FailureKind.LEASE_EXPIRED, b"")
            if record.expirations >= self._setting("max_expirations"):
                self._bury(job_id, record, DeadReason.POISON)
            elif record.attempt >= record.max_attempts:
                self._bury(job_id, record, DeadReason.ATTEMPTS)
            else:
                self._back_off(job_id, record, self._backoff(job_id, record))
            buried += self.jobs[job_id].state is State.DEAD
        return buried

    def _promote(self, ids: list[bytes]) -> int:
        buried = 0
        for job_id in ids:
            if self._set_aside(job_id, State.DELAYED):
                continue
            job = self.jobs[job_id]
            if 0 < job.record.expires_ms <= self.now:
                self._bury(job_id, job.record, DeadReason.EXPIRED)
                buried += 1
            else:
                self._make_ready(job_id, job.record, job.at)
                self.counts["promoted"] += 1
        return buried

    def _end_leases(self, ids: list[bytes], *, spared: bool = True) -> int:
        """Leases that ran out: those of an outage wait for their workers, then go back with their attempt."""
        return self._expire([job_id for job_id in ids if not (spared and self._spare(job_id))])

    def _spare(self, job_id: bytes) -> bool:
        if job_id in self.unreadable:
            return False
        job = self.jobs[job_id]
        record, until = job.record, self.conf.get("outage_to", -math.inf) + GRACE_MS
        extended_since = record.extended_ms >= self.conf.get("outage_to", -math.inf)
        if record.cancelled or extended_since or not self.conf["outage_from"] < job.at <= until:
            return False
        if self.now < until:
            self._put(job_id, State.INFLIGHT, until, record)
            return True
        if sum(failure.kind is FailureKind.OUTAGE for failure in job.failures) >= SPARED_MAX:
            return False
        self._fail(job_id, record, FailureKind.OUTAGE, b"")
        record = replace(record, attempt=max(record.attempt - 1, 0), token=b"")
        self._put(job_id, State.READY, record.score, record)
        self.counts["spared"] += 1
        return True

    def _find_outage(self) -> None:
        seen = self.conf.get("clock", self.now)
        if self.now - seen > OUTAGE_MS and self._in(State.INFLIGHT):
            self.conf |= {"outage_from": seen, "outage_to": self.now, "clock": self.now}

    def _forget_claims(self) -> None:
        """Those whose leases are long over. There are fewer servers than a script forgets at once."""
        self.claims = {
            server: last for server, last in self.claims.items() if last.until > self.now - LAST_CLAIM_MS
        }
