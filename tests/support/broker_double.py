"""A scriptable broker: a real gRPC server on a socket that says what a test tells it to, and records every call.

It is a threaded server, not an asyncio one: gRPC's asyncio stack allows one event loop a process, and the tests of
a worker need their own loop, sometimes a blocked one.
"""

from __future__ import annotations

import itertools
import queue
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

import grpc

from relay.v1 import job_pb2
from relay.v1 import queue_service_pb2 as pb
from relay.v1.queue_service_pb2_grpc import QueueServiceServicer, add_QueueServiceServicer_to_server
from relay_client.durations import to_proto
from tests.support.waiting import until

Request = TypeVar("Request")
Response = TypeVar("Response")


class Refusal(Exception):
    """What a script raises to make a call fail with this status."""

    def __init__(self, code: grpc.StatusCode, details: str = "scripted") -> None:
        super().__init__(details)
        self.code = code
        self.details = details


@dataclass(slots=True, eq=False)
class Stream:
    """One Claim stream. `send` puts a frame on it; `end` ends it, `cut` ends it with an error."""

    request: pb.ClaimRequest
    metadata: dict[str, str]
    frames: queue.SimpleQueue[pb.ClaimResponse | Refusal | None] = field(default_factory=queue.SimpleQueue)
    sent: int = 0
    closed: threading.Event = field(default_factory=threading.Event)

    def send(self, frame: pb.ClaimResponse) -> None:
        self.sent += len(frame.jobs.jobs)
        self.frames.put(frame)

    def close(self) -> None:
        self.closed.set()
        self.end()

    def end(self) -> None:
        self.frames.put(None)

    def cut(self, code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE) -> None:
        self.frames.put(Refusal(code, "cut"))


@dataclass(frozen=True, slots=True)
class Call:
    """One unary call, with the monotonic time it came."""

    request: Any
    at: float


class BrokerDouble(QueueServiceServicer):
    """Answers OK to everything unless told otherwise.

    on_enqueue, on_ack, on_extend, …  called with the request before it is answered; may wait, raise Refusal, or
                                      return a whole response
    outcomes                          job id -> LeaseOutcome for the answers, OK when absent
    """

    def __init__(self, *, lease: float = 3.0, keep_alive: float = 15.0, address: str = "127.0.0.1:0") -> None:
        self.lease = lease
        self.keep_alive = keep_alive
        self.session_id = uuid.uuid4().hex
        self.auto_start = True
        self.refuse_claim: Refusal | None = None
        self.streams: list[Stream] = []
        self.enqueues: list[Call] = []
        self.acks: list[Call] = []
        self.nacks: list[Call] = []
        self.extends: list[Call] = []
        self.on_enqueue: Callable[[pb.EnqueueRequest], pb.EnqueueResponse | None] | None = None
        self.on_enqueue_batch: Callable[[pb.EnqueueBatchRequest], pb.EnqueueBatchResponse | None] | None = (
            None
        )
        self.on_ack: Callable[[pb.AckRequest], pb.AckResponse | None] | None = None
        self.on_nack: Callable[[pb.NackRequest], pb.NackResponse | None] | None = None
        self.on_extend: Callable[[pb.ExtendRequest], pb.ExtendResponse | None] | None = None
        self.on_claim: Callable[[Stream], None] | None = None
        self.outcomes: dict[str, pb.LeaseOutcome.ValueType] = {}
        self.lock = threading.Lock()
        self._server = grpc.server(
            ThreadPoolExecutor(32, thread_name_prefix="double"), options=[("grpc.so_reuseport", 0)]
        )
        add_QueueServiceServicer_to_server(self, self._server)
        self.port = self._server.add_insecure_port(address)
        self.target = f"127.0.0.1:{self.port}"
        self._server.start()

    def __enter__(self) -> BrokerDouble:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends all streams and calls, and waits for the server's threads."""
        for stream in self.streams:
            stream.end()
        self._server.stop(0).wait(5)

    # The calls of the contract.

    def Claim(self, request: pb.ClaimRequest, context: Any) -> Iterator[pb.ClaimResponse]:  # noqa: N802
        stream = Stream(request, {key: str(value) for key, value in context.invocation_metadata()})
        with self.lock:
            self.streams.append(stream)
        if self.refuse_claim is not None:
            context.abort(self.refuse_claim.code, self.refuse_claim.details)
        context.add_callback(stream.close)
        if self.auto_start:
            stream.send(self.started(request.max_in_flight))
        if self.on_claim is not None:
            self.on_claim(stream)
        while (frame := stream.frames.get()) is not None:
            if isinstance(frame, Refusal):
                context.abort(frame.code, frame.details)
            else:
                yield frame

    def Enqueue(self, request: pb.EnqueueRequest, context: Any) -> pb.EnqueueResponse:  # noqa: N802
        self.enqueues.append(Call(request, time.monotonic()))
        if (answer := self._script(self.on_enqueue, request, context)) is not None:
            return answer
        return pb.EnqueueResponse(job_id=request.job.id)

    def EnqueueBatch(  # noqa: N802
        self, request: pb.EnqueueBatchRequest, context: Any
    ) -> pb.EnqueueBatchResponse:
        self.enqueues.append(Call(request, time.monotonic()))
        if (answer := self._script(self.on_enqueue_batch, request, context)) is not None:
            return answer
        return pb.EnqueueBatchResponse(results=[pb.EnqueueResult(job_id=one.id) for one in request.jobs])

    def Ack(self, request: pb.AckRequest, context: Any) -> pb.AckResponse:  # noqa: N802
        self.acks.append(Call(request, time.monotonic()))
        if (answer := self._script(self.on_ack, request, context)) is not None:
            return answer
        return pb.AckResponse(outcomes=[self._outcome(one) for one in ids(request.leases)])

    def Nack(self, request: pb.NackRequest, context: Any) -> pb.NackResponse:  # noqa: N802
        self.nacks.append(Call(request, time.monotonic()))
        if (answer := self._script(self.on_nack, request, context)) is not None:
            return answer
        return pb.NackResponse(results=[pb.NackResult(outcome=self._outcome(j.job_id)) for j in request.jobs])

    def Extend(self, request: pb.ExtendRequest, context: Any) -> pb.ExtendResponse:  # noqa: N802
        self.extends.append(Call(request, time.monotonic()))
        if (answer := self._script(self.on_extend, request, context)) is not None:
            return answer
        lease = duration(self.lease)
        return pb.ExtendResponse(
            results=[
                pb.ExtendResult(outcome=self._outcome(one), lease_remaining=lease)
                for one in ids(request.leases)
            ]
        )

    def _script(
        self, script: Callable[[Request], Response | None] | None, request: Request, context: Any
    ) -> Response | None:
        if script is None:
            return None
        try:
            return script(request)
        except Refusal as refusal:
            context.abort(refusal.code, refusal.details)
            raise

    def _outcome(self, job_id: str) -> pb.LeaseOutcome.ValueType:
        return self.outcomes.get(job_id, pb.LEASE_OUTCOME_OK)

    # What tests say and ask.

    def started(self, max_in_flight: int) -> pb.ClaimResponse:
        return pb.ClaimResponse(
            started=pb.Started(
                session_id=self.session_id,
                lease=duration(self.lease),
                extend_every=duration(self.lease / 3),
                keep_alive=duration(self.keep_alive),
                max_in_flight=max_in_flight,
                server_version="double",
                stream=len(self.streams),
            )
        )

    def stream(self, number: int = 0, within: float = 10.0) -> Stream:
        """The stream opened as number `number`, from 0; waits for it."""
        until(lambda: len(self.streams) > number, within, what=f"claim stream {number}")
        return self.streams[number]

    def acked(self) -> list[str]:
        """Ids acknowledged so far, repeats included."""
        return [one for call in list(self.acks) for one in ids(call.request.leases)]

    def nacked(self) -> dict[str, pb.NackedJob]:
        """The last Nack of each job."""
        return {job.job_id: job for call in list(self.nacks) for job in call.request.jobs}

    def extended(self) -> list[str]:
        """Ids extended so far, repeats included."""
        return [one for call in list(self.extends) for one in ids(call.request.leases)]

    def settled(self) -> set[str]:
        """Ids acknowledged or given back."""
        return {*self.acked(), *self.nacked()}


_numbers = itertools.count(1)


def duration(seconds: float) -> Any:
    return to_proto(timedelta(seconds=seconds))


def job(
    job_type: str = "work", payload: bytes = b"", *, attempt: int = 1, content_type: str = "", **fields: Any
) -> pb.ClaimedJob:
    """A claimed job with an id of its own."""
    return pb.ClaimedJob(
        job=job_pb2.Job(
            id=str(uuid.uuid4()), type=job_type, payload=payload, content_type=content_type, **fields
        ),
        attempt=attempt,
        max_attempts=20,
        epoch=next(_numbers),
    )


def jobs_frame(
    jobs: Iterable[pb.ClaimedJob], *, queue_name: str = "q", lease: float = 3.0
) -> pb.ClaimResponse:
    return pb.ClaimResponse(
        jobs=pb.Jobs(
            queue=queue_name, lease_token=uuid.uuid4().bytes, lease_remaining=duration(lease), jobs=list(jobs)
        )
    )


def keep_alive(unsettled: int) -> pb.ClaimResponse:
    return pb.ClaimResponse(keep_alive=pb.KeepAlive(unsettled=unsettled))


def cancel(job_id: str, outcome: pb.LeaseOutcome.ValueType, *, queue_name: str = "q") -> pb.ClaimResponse:
    return pb.ClaimResponse(
        cancel=pb.Cancel(jobs=[pb.CancelledJob(queue=queue_name, job_id=job_id, outcome=outcome)])
    )


def drain(reconnect_after: float) -> pb.ClaimResponse:
    return pb.ClaimResponse(drain=pb.Drain(reconnect_after=duration(reconnect_after)))


def ids(groups: Iterable[pb.LeaseGroup]) -> list[str]:
    return [one for group in groups for one in group.job_ids]
