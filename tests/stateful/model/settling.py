"""What a worker hears that settles a lease or extends it."""

import struct
from collections.abc import Sequence
from dataclasses import replace

from relay_server.model import Acked, Extended, Extension, Lease, Nacked, NackedJob
from relay_server.words import DeadReason, FailureKind, LeaseWord, NackWord, State
from tests.stateful.contents import (
    RELEASE_MS,
    STOP_MS,
    THROTTLED_MS_MIN,
)
from tests.stateful.model.queue import Queue


class Settling(Queue):
    """inflight -> gone, or where a nack says; or a later deadline."""

    __slots__ = ()

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
            kind = FailureKind.RETRY if nack.kind is NackWord.RETRY else FailureKind.REJECTED
            record = self._fail(nack.id, replace(record, error_type=nack.error_type), kind, nack.error)
        if nack.kind is NackWord.DEAD or (
            nack.kind is NackWord.RETRY and record.attempt >= record.max_attempts
        ):
            reason = DeadReason.REJECTED if nack.kind is NackWord.DEAD else DeadReason.ATTEMPTS
            self._bury(nack.id, self._settle(record, State.DEAD, 0), reason)
            return Nacked(word, State.DEAD, 0)
        if nack.kind is NackWord.RETRY:
            self.counts["retried"] += 1
            delay = nack.after_ms if nack.after_ms >= 0 else self._backoff(nack.id, record)
        else:
            self.counts["released"] += 1
            delay = nack.after_ms if nack.after_ms >= 0 else RELEASE_MS
            delay = max(delay, RELEASE_MS if nack.kind is NackWord.RELEASE else THROTTLED_MS_MIN)
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
        record = replace(job.record, lease_ms=lease_ms or job.record.lease_ms, extended_ms=self.now)
        if e.fraction >= 0:
            record = replace(record, progress=e.fraction, note=e.note)
        deadline = max(self.now + record.lease_ms, job.at)
        if record.max_runtime_ms:
            deadline = min(deadline, record.claimed_ms + record.max_runtime_ms + STOP_MS)
        self._put(e.id, State.INFLIGHT, deadline, record)
        return Extended(word, int(max(0, deadline - self.now)))
