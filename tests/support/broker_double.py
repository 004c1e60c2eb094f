"""The script of the workers' tests: Claim streams that a test writes on, and settles and heartbeats answered OK."""

from __future__ import annotations

import itertools
import threading
import uuid
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

import grpc
from google.protobuf.message import Message

from relay.v1 import job_pb2
from relay.v1 import queue_service_pb2 as pb
from relay_client.durations import to_proto
from relay_conformance import scripted
from relay_conformance.scripted import Call, Refuse, ScriptedServer
from tests.support.waiting import until


class Stream(scripted.Stream):
    """One Claim stream. `sent` counts the jobs that were put on it."""

    def __init__(self, call: Call) -> None:
        super().__init__(call)
        self.sent = 0

    @property
    def request(self) -> pb.ClaimRequest:
        return self.call.request  # type: ignore[no-any-return]

    def send(self, frame: Message) -> None:
        if isinstance(frame, pb.ClaimResponse):
            self.sent += len(frame.jobs.jobs)
        super().send(frame)

    def cut(self, code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE) -> None:
        """Ends it with an error."""
        self.end(Refuse(code, "cut"))


class BrokerDouble(ScriptedServer):
    """Answers OK to everything unless a test scripts otherwise.

    on_ack, on_nack, on_extend  called with the request before it is answered; may wait, raise Refuse, or return a
                                whole response
    outcomes                    job id -> LeaseOutcome for the answers, OK when absent
    """

    def __init__(self, *, lease: float = 3.0, keep_alive: float = 15.0, address: str = "127.0.0.1:0") -> None:
        super().__init__()
        self.lease = lease
        self.keep_alive = keep_alive
        self.session_id = uuid.uuid4().hex
        self.refuse_claim: Refuse | None = None
        self.streams: list[Stream] = []
        self.on_ack: Callable[[pb.AckRequest], pb.AckResponse | None] | None = None
        self.on_nack: Callable[[pb.NackRequest], pb.NackResponse | None] | None = None
        self.on_extend: Callable[[pb.ExtendRequest], pb.ExtendResponse | None] | None = None
        self.on_claim: Callable[[Stream], None] | None = None
        self.outcomes: dict[str, pb.LeaseOutcome.ValueType] = {}
        self.lock = threading.Lock()
        self.target = self.start(address)

    def __enter__(self) -> BrokerDouble:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def stop(self) -> None:
        for stream in self.streams:
            stream.end()
        super().stop()

    def answer(self, call: Call) -> Any:
        match call.request:
            case pb.ClaimRequest():
                return self._claim(call)
            case pb.AckRequest() as request:
                return self._ack(request)
            case pb.NackRequest() as request:
                return self._nack(request)
            case pb.ExtendRequest() as request:
                return self._extend(request)
        return super().answer(call)

    def _claim(self, call: Call) -> Stream:
        stream = Stream(call)
        with self.lock:
            self.streams.append(stream)
        if self.refuse_claim is not None:
            raise self.refuse_claim
        stream.send(self.started(call.request.max_in_flight))
        if self.on_claim is not None:
            self.on_claim(stream)
        return stream

    def _ack(self, request: pb.AckRequest) -> pb.AckResponse:
        if self.on_ack is not None and (answer := self.on_ack(request)) is not None:
            return answer
        return pb.AckResponse(outcomes=[self._outcome(one) for one in ids(request.leases)])

    def _nack(self, request: pb.NackRequest) -> pb.NackResponse:
        if self.on_nack is not None and (answer := self.on_nack(request)) is not None:
            return answer
        return pb.NackResponse(results=[pb.NackResult(outcome=self._outcome(j.job_id)) for j in request.jobs])

    def _extend(self, request: pb.ExtendRequest) -> pb.ExtendResponse:
        if self.on_extend is not None and (answer := self.on_extend(request)) is not None:
            return answer
        lease = duration(self.lease)
        return pb.ExtendResponse(
            results=[
                pb.ExtendResult(outcome=self._outcome(one), lease_remaining=lease)
                for one in ids(request.leases)
            ]
        )

    def _outcome(self, job_id: str) -> pb.LeaseOutcome.ValueType:
        return self.outcomes.get(job_id, pb.LEASE_OUTCOME_OK)

    @property
    def acks(self) -> list[Call]:
        return self._calls("Ack")

    @property
    def nacks(self) -> list[Call]:
        return self._calls("Nack")

    @property
    def extends(self) -> list[Call]:
        return self._calls("Extend")

    def _calls(self, rpc: str) -> list[Call]:
        return [call for call in list(self.calls) if call.rpc == rpc]

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
        return [one for call in self.acks for one in ids(call.request.leases)]

    def nacked(self) -> dict[str, pb.NackedJob]:
        """The last Nack of each job."""
        return {job.job_id: job for call in self.nacks for job in call.request.jobs}

    def extended(self) -> list[str]:
        """Ids extended so far, repeats included."""
        return [one for call in self.extends for one in ids(call.request.leases)]

    def settled(self) -> set[str]:
        """Ids acknowledged or nacked."""
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
