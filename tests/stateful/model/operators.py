"""What operators do to jobs, and to the settings of the queue."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from relay_server.words import CancelWord, DeadReason, State
from tests.stateful.model.queue import Queue


class Operators(Queue):
    """Any state -> ready, flagged or gone."""

    __slots__ = ()

    def requeue(self, ids: Sequence[bytes], died_until_ms: int) -> int:
        n = 0
        for job_id in ids:
            self._set_aside(job_id, State.DEAD)
        for job_id in self._dead_until(ids, died_until_ms):
            record = replace(
                self.jobs[job_id].record, attempt=0, expirations=0, reason=DeadReason.NONE, error_type=""
            )
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
