"""Jobs on their way to a session: as parcels that wait to be written, and as what is known of a frame being written."""

import time
from dataclasses import dataclass

from relay_server.claims.rooms import JOB_BYTES
from relay_server.model import ClaimedJob, Lease


@dataclass(slots=True)
class Parcel:
    """Jobs of one claim for one session under one token, waiting to be written. `claimed_at` is monotonic seconds."""

    queue: str
    token: bytes
    lease_ms: int
    claimed_at: float
    jobs: list[ClaimedJob]

    def leases(self) -> list[Lease]:
        return [Lease(job.id, self.token) for job in self.jobs]

    def size(self) -> int:
        """How many bytes it takes to keep it."""
        return sum(len(job.body) for job in self.jobs) + JOB_BYTES * len(self.jobs)

    def left_ms(self) -> int:
        """How long the lease still runs."""
        return self.lease_ms - int((time.monotonic() - self.claimed_at) * 1000)

    @property
    def ends_at(self) -> float:
        """When the lease runs out, in monotonic seconds."""
        return self.claimed_at + self.lease_ms / 1000

    @property
    def half_over(self) -> bool:
        """Half of the lease went by while it waited: another worker will be quicker."""
        return self.left_ms() < self.lease_ms / 2

    def cut(self, n: int) -> "Parcel":
        """The first `n` jobs, as a parcel of its own."""
        head = Parcel(self.queue, self.token, self.lease_ms, self.claimed_at, self.jobs[:n])
        del self.jobs[:n]
        return head

    def take_out(self, jobs: list[ClaimedJob]) -> "Parcel":
        """These jobs of it, as a parcel of their own."""
        self.jobs = [job for job in self.jobs if job not in jobs]
        return Parcel(self.queue, self.token, self.lease_ms, self.claimed_at, jobs)


@dataclass(slots=True)
class Sent:
    """The leases of a frame whose write began, without its jobs: `ends_at` is monotonic seconds."""

    queue: str
    leases: list[Lease]
    ends_at: float
