"""An up-and-down of load under the autoscaler: nothing, a burst of jobs, one long job alone, nothing."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import grpc

from relay.v1.admin_service_pb2 import QueueStats, StatsRequest
from relay.v1.admin_service_pb2_grpc import AdminServiceStub
from relay_client import Client, JobSpec
from relay_worker.testing.plugin import start_server
from tests.keda.autoscaler import Autoscaler, Policy
from tests.keda.replicas import replicas

QUEUE = "scaled"
CONCURRENCY = 2
BURST, BURST_JOB_S, LONG_JOB_S = 40, 0.3, 5.0
POLL_S = 0.2
WITHIN_S = 60.0
METADATA = {"queue": QUEUE, "targetBacklogPerWorker": "4", "targetAgeSeconds": "2"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What one poll saw and decided."""

    at_s: float
    ready: int
    inflight: int
    backlog: float
    age: float
    replicas: int


@dataclass(slots=True)
class Story:
    """All polls, and how the queue ended."""

    policy: Policy
    moments: list[Moment] = field(default_factory=list)
    end: QueueStats = field(default_factory=QueueStats)
    leaving: int = 0

    @property
    def peak(self) -> int:
        return max(moment.replicas for moment in self.moments)

    @property
    def tail(self) -> list[Moment]:
        """The polls that saw the long job run alone."""
        return [moment for moment in self.moments if (moment.ready, moment.inflight) == (0, 1)]

    def first(self, seen: Callable[[Moment], bool]) -> float:
        return next(moment.at_s for moment in self.moments if seen(moment))

    def last(self, seen: Callable[[Moment], bool]) -> float:
        return next(moment.at_s for moment in reversed(self.moments) if seen(moment))


def run(report: Callable[[Moment], object] = lambda moment: None) -> Story:
    """Plays it on a server of its own, until there are no replicas left. AssertionError when that takes too long."""
    story = Story(Policy())
    with (
        start_server() as server,
        grpc.insecure_channel(server.target) as channel,
        Client(server.target) as client,
        replicas(server.target, QUEUE, concurrency=CONCURRENCY) as workers,
    ):
        scaler = Autoscaler(channel, METADATA, story.policy)
        admin, began = AdminServiceStub(channel), time.monotonic()

        def poll() -> Moment:
            now = time.monotonic()
            workers.scale(scaler.decide(now, len(workers)))
            queues = admin.Stats(StatsRequest()).queues
            story.end = next((found for found in queues if found.queue == QUEUE), QueueStats())
            moment = Moment(
                at_s=now - began,
                ready=story.end.ready,
                inflight=story.end.inflight,
                backlog=scaler.values["relay-backlog"],
                age=scaler.values["relay-age"],
                replicas=len(workers),
            )
            assert moment.at_s < WITHIN_S, f"still not over after {WITHIN_S:g} s: {moment}"
            story.moments.append(moment)
            report(moment)
            time.sleep(POLL_S)
            return moment

        poll()
        jobs = [JobSpec(type="sleep", payload={"seconds": BURST_JOB_S}) for _ in range(BURST)]
        client.enqueue_batch(
            QUEUE, [*jobs, JobSpec(type="sleep", payload={"seconds": LONG_JOB_S}, priority=-9)]
        )
        while poll().replicas or story.end.counters.acked <= BURST:
            pass
        story.leaving = workers.leaving
    return story
