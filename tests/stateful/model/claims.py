"""What a claim gives: the head of the queue, dealt to sessions in turn, within rate and bytes."""

import math
from collections.abc import Sequence
from dataclasses import replace

from relay_server.model import Claimed, ClaimedJob, ClaimGroup
from relay_server.words import ClaimStatus, DeadReason, State
from tests.stateful.contents import (
    CATCH_UP_MAX,
    CLAIMS_MS,
    EXPIRES_MAX,
    LOOK_AHEAD,
    NOTED_MS,
    LastClaim,
)
from tests.stateful.model.leases import Leases


class Claims(Leases):
    """ready -> inflight."""

    __slots__ = ()

    def claim(self, server: str, nonce: bytes, groups: Sequence[ClaimGroup], bytes_max: int) -> Claimed:
        given: list[list[ClaimedJob]] = [[] for _ in groups]
        want, rate, tokens = sum(group.jobs for group in groups), self._setting("rate"), 0.0
        if self._setting("paused"):
            return Claimed(ClaimStatus.PAUSED, self.now, False, 0, given)
        if rate > 0:
            tokens = self._bucket()
            if tokens < 1:
                self._fill_bucket(tokens)
                return Claimed(ClaimStatus.LIMITED, self.now, False, self._refilled_at(tokens), given)
            want = min(want, int(tokens))
        self._find_outage()
        self._end_leases(self._due(State.INFLIGHT, CATCH_UP_MAX))
        self._promote(self._due(State.DELAYED, CATCH_UP_MAX))
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
        return Claimed(ClaimStatus.OK, self.now, more and len(chosen) < want, next_at, given)

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
                    self._bury(job_id, record, DeadReason.EXPIRED)
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
                claimed_ms=self.now, extended_ms=self.now, lease_ms=group.lease_ms, token=group.token,
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

    def _bucket(self) -> float:
        rate, burst = self._setting("rate"), self._setting("burst")
        burst = burst or max(rate, 1)
        elapsed = max(self.now - self.conf.get("tokens_at", self.now), 0)
        return min(burst, self.conf.get("tokens", burst) + elapsed * rate / 1000)

    def _fill_bucket(self, tokens: float) -> None:
        self.conf["tokens"], self.conf["tokens_at"] = float(f"{tokens:.6f}"), self.now

    def _refilled_at(self, tokens: float) -> int:
        return self.now + max(1, math.ceil((1 - tokens) * 1000 / self._setting("rate")))
