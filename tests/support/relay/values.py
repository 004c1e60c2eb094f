"""Ids, jobs and lengths of time for the tests of a server."""

import time
from collections.abc import Iterable
from datetime import timedelta
from typing import Any, NamedTuple, TypeAlias, TypeVar

from google.protobuf.duration_pb2 import Duration

from relay.v1 import job_pb2 as jobs
from relay.v1 import queue_service_pb2 as pb
from tests.support.ids import uuid7

T = TypeVar("T")
Window: TypeAlias = "pb.WindowReport | None"

KEEP_ALIVE_S = 0.3


def seconds(value: float) -> Duration:
    message = Duration()
    message.FromTimedelta(timedelta(seconds=value))
    return message


def new_id() -> str:
    """The id of a job that is made now."""
    return str(uuid7(time.time_ns() // 1_000_000))


def spec(payload: bytes = b"{}", **fields: Any) -> jobs.JobSpec:
    """A valid job with an id; name only what the test is about."""
    return jobs.JobSpec(**{"id": new_id(), "type": "test", "payload": payload} | fields)


class Held(NamedTuple):
    """A job in the hands of a worker, and what settles it."""

    queue: str
    token: bytes
    job: pb.ClaimedJob

    @property
    def id(self) -> str:
        return self.job.job.id


def lease_groups(held: Iterable[Held]) -> list[pb.LeaseGroup]:
    groups: dict[tuple[str, bytes], list[str]] = {}
    for one in held:
        groups.setdefault((one.queue, one.token), []).append(one.id)
    return [
        pb.LeaseGroup(queue=queue, lease_token=token, job_ids=ids) for (queue, token), ids in groups.items()
    ]
