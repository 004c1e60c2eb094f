"""What all broker doubles of one scenario share, as servers share a store: jobs, deliveries, sessions."""

import hashlib
import itertools
import time
import uuid
from dataclasses import dataclass, field

from google.protobuf.timestamp_pb2 import Timestamp

from relay.v1 import job_pb2
from relay.v1 import queue_service_pb2 as pb
from relay_conformance.record import Record
from relay_conformance.scenario import JobToDo
from relay_conformance.wire import add_unknown, duration


@dataclass(slots=True, eq=False)
class Delivery:
    """A job under one token. `settled`: the outcome that the client got; `lost_at`: when it learnt of the loss."""

    job: str
    queue: str
    token: bytes
    settled: str = ""
    settled_at: float = 0.0
    lost_at: float | None = None


@dataclass(slots=True, eq=False)
class Session:
    """One session: what the reports said last, and how many jobs were sent on its current stream."""

    session_id: str
    max_in_flight: int
    in_flight: int = 0
    received: int = 0
    sent: int = 0
    seq: int = 0

    @property
    def unsettled(self) -> int:
        """As a server counts: docs/protocol.md, 4.1."""
        return self.in_flight + self.sent - self.received


@dataclass(slots=True)
class World:
    """State of one scenario."""

    record: Record
    jobs: dict[str, pb.ClaimedJob] = field(default_factory=dict)
    deliveries: list[Delivery] = field(default_factory=list)
    sessions: dict[str, Session] = field(default_factory=dict)
    enqueued: dict[str, pb.EnqueueResponse] = field(default_factory=dict)
    batches: dict[str, pb.EnqueueBatchResponse] = field(default_factory=dict)
    settled: set[str] = field(default_factory=set)
    violations: list[str] = field(default_factory=list)
    _epochs: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def name_of(self, job_id: str) -> str:
        """The scenario's name for a job; its id when it has none."""
        return next((name for name, claimed in self.jobs.items() if claimed.job.id == job_id), job_id)

    def delivery(self, job_id: str, token: bytes) -> Delivery | None:
        """What was handed out under this token."""
        name = self.name_of(job_id)
        return next((one for one in self.deliveries if one.job == name and one.token == token), None)

    def latest(self, job: str) -> Delivery:
        """The newest delivery of a job."""
        return next(one for one in reversed(self.deliveries) if one.job == job)

    def is_current(self, delivery: Delivery) -> bool:
        """No later claim of the job gave another token."""
        return self.latest(delivery.job).token == delivery.token

    def new_jobs(self, jobs: list[JobToDo]) -> list[str]:
        """Makes jobs and returns their names."""
        names: list[str] = []
        for job in jobs:
            for copy in range(job.copies):
                name = job.name if job.copies == 1 else f"{job.name}-{copy + 1}"
                self.jobs[name] = self._claimed(job)
                names.append(name)
        return names

    def _claimed(self, job: JobToDo) -> pb.ClaimedJob:
        return pb.ClaimedJob(
            job=job_pb2.Job(
                id=str(uuid.uuid4()),
                type=job.type,
                payload=payload_of(job.payload, job.payload_bytes),
                content_type=job.content_type,
                headers=job.headers,
                max_runtime=duration(job.max_runtime_ms) if job.max_runtime_ms else None,
                enqueue_time=_timestamp(time.time()),
            ),
            attempt=job.attempt,
            max_attempts=20,
            epoch=int(time.time() * 1000) + next(self._epochs),
        )

    def deliver(
        self,
        names: list[str],
        queue: str,
        *,
        lease_ms: float,
        deadline_off_ms: float = 0,
        token: bytes = b"",
        unknown_fields: bool = False,
    ) -> pb.ClaimResponse:
        """A frame with these jobs, under a new token unless one is given."""
        again = bool(token)
        token = token or uuid.uuid4().bytes
        frame = pb.ClaimResponse(
            jobs=pb.Jobs(
                queue=queue,
                lease_token=token,
                lease_deadline=_timestamp(time.time() + (lease_ms + deadline_off_ms) / 1000),
                lease_remaining=duration(lease_ms),
                jobs=[self.jobs[name] for name in names],
            )
        )
        if unknown_fields:
            add_unknown(frame, frame.jobs, *frame.jobs.jobs, *(one.job for one in frame.jobs.jobs))
        for name in names:
            if not again:
                self.deliveries.append(Delivery(name, queue, token))
            self.record.add("delivery", job=name, queue=queue, epoch=self.jobs[name].epoch)
        return frame

    def claimed_again(self, name: str) -> None:
        """The job has a new epoch, as after another claim."""
        self.jobs[name].epoch = int(time.time() * 1000) + next(self._epochs)
        self.jobs[name].attempt += 1

    def note_lost(self, name: str) -> None:
        """A Cancel frame says so. Of several deliveries the newest is current, so the older ones are lost."""
        held = [one for one in self.deliveries if one.job == name]
        for one in held[:-1] or held:
            one.lost_at = one.lost_at or time.monotonic()

    def violated(self, rule: str) -> None:
        """A rule that holds in every scenario was broken."""
        if rule not in self.violations:
            self.violations.append(rule)


def payload_of(text: str, size: int) -> bytes:
    """The payload a scenario means: its text, or `size` bytes of every value."""
    if not size:
        return text.encode()
    block = b"".join(hashlib.sha256(bytes([n])).digest() for n in range(256))
    return (block * (size // len(block) + 1))[:size]


def _timestamp(seconds: float) -> Timestamp:
    made = Timestamp()
    made.FromNanoseconds(int(seconds * 1e9))
    return made
