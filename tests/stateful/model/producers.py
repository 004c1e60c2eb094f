"""What a producer hears: jobs come in once, for each request and for each idempotency key."""

from collections.abc import Sequence

from relay_server.model import Enqueued, Record
from relay_server.words import DeadReason, EnqueueWord, State
from tests.stateful.contents import DELAY, NOW, RUN_AT, SEEN_MS, Holder, Job, Seen, Spec
from tests.stateful.model.queue import Queue


class Producers(Queue):
    """(nothing) -> ready or delayed."""

    __slots__ = ()

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
            score=self._order(due, spec.priority), priority=spec.priority, cancelled=False, reason=DeadReason.NONE,
            attempt=0, expirations=0, max_attempts=spec.max_attempts, initial_backoff_ms=spec.initial_backoff_ms,
            max_backoff_ms=spec.max_backoff_ms, multiplier=spec.multiplier, max_runtime_ms=spec.max_runtime_ms,
            lease_ms=0, body_bytes=len(spec.body), epoch=0, claimed_ms=0, extended_ms=0, expires_ms=spec.expires_ms,
            progress=0, token=b"", settled=b"", type="t", error_type="", worker_id="", note="",
        )  # fmt: skip
