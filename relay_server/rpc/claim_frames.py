"""Makes the frames of Claim streams: messages of the contract, from the plain data of claims."""

import random
import time
from collections.abc import Iterable

from google.protobuf.message import DecodeError

from relay.v1.queue_service_pb2 import ClaimResponse, Drain, Jobs, KeepAlive, Started
from relay_server import __version__
from relay_server.claims.parcel import Parcel
from relay_server.claims.session import Session
from relay_server.model import ClaimedJob
from relay_server.rpc.convert import LEASE_OUTCOMES, duration, timestamp
from relay_server.rpc.ids import uuid_text
from relay_server.words import LeaseWord

_RECONNECT_SPREAD_MS = 1000


class ClaimFrames:
    """Implements `claims.stream.Frames`."""

    def started(self, name: str, session: Session, *, keep_alive_s: float) -> ClaimResponse:
        """The first frame of a stream."""
        lease_ms = session.terms.lease_ms
        return ClaimResponse(
            started=Started(
                session_id=name,
                lease=duration(lease_ms),
                extend_every=duration(lease_ms // 3),
                keep_alive=duration(int(keep_alive_s * 1000)),
                max_in_flight=session.terms.max_in_flight,
                server_version=__version__,
                stream=session.stream,
            )
        )

    def jobs(self, parcel: Parcel, left_ms: int) -> tuple[ClaimResponse, list[ClaimedJob]]:
        """A frame with the jobs of the parcel, and those of them whose body is no job: they are not in the frame."""
        frame = ClaimResponse(
            jobs=Jobs(
                queue=parcel.queue,
                lease_token=parcel.token,
                lease_deadline=timestamp(time.time_ns() // 1_000_000 + left_ms),
                lease_remaining=duration(left_ms),
            )
        )
        jobs = frame.jobs  # filled where it is: a message given to the one around it would be copied
        return frame, [job for job in parcel.jobs if not _added(jobs, job)]

    def cancelled(self, jobs: Iterable[tuple[str, bytes, LeaseWord]]) -> ClaimResponse:
        """Tells the worker to stop these jobs."""
        frame = ClaimResponse()
        for queue, job_id, word in jobs:
            frame.cancel.jobs.add(queue=queue, job_id=uuid_text(job_id), outcome=LEASE_OUTCOMES[word])
        return frame

    def keep_alive(self, unsettled: int) -> ClaimResponse:
        """The server is there, and counts so many unsettled jobs."""
        return ClaimResponse(keep_alive=KeepAlive(unsettled=unsettled))

    def drain(self) -> ClaimResponse:
        """The last frame: open another stream, not all at the same moment."""
        wait = duration(random.randrange(_RECONNECT_SPREAD_MS))
        return ClaimResponse(drain=Drain(reconnect_after=wait))


def _added(frame: Jobs, job: ClaimedJob) -> bool:
    """Puts a job into the frame. The body is parsed into place, not copied from another message."""
    entry = frame.jobs.add(attempt=job.attempt, max_attempts=job.max_attempts, epoch=job.epoch)
    try:
        entry.job.MergeFromString(job.body)
    except DecodeError:
        del frame.jobs[-1]
        return False
    entry.job.id = uuid_text(job.id)
    return True
