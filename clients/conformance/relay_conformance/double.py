"""The broker double: a real gRPC server that answers as the scenario says, and otherwise as a server would."""

import asyncio
import hashlib
import uuid
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message

from relay.v1 import errors_pb2, job_pb2
from relay.v1 import queue_service_pb2 as pb
from relay.v1.queue_service_pb2_grpc import QueueServiceServicer, add_QueueServiceServicer_to_server
from relay_conformance import settling, wire
from relay_conformance.feeding import Feeding
from relay_conformance.scenario import Answer, Broker, Error
from relay_conformance.world import Session, World

_BYTES_MAX = 4 << 20

ResponseT = TypeVar("ResponseT", bound=Message)
Context = Any  # grpc.aio.ServicerContext, whose type parameters say nothing here


@dataclass(slots=True, eq=False)
class Stream:
    """One Claim stream: frames put on it are sent; an Error, or None, ends it."""

    session: Session
    frames: "asyncio.Queue[pb.ClaimResponse | Error | None]" = field(default_factory=asyncio.Queue)
    open: bool = True


class BrokerDouble(QueueServiceServicer):
    """Listens on a free port of 127.0.0.1; `port` stays the same when it is stopped and started again."""

    def __init__(self, name: str, settings: Broker, world: World) -> None:
        self.name = name
        self.settings = settings
        self.world = world
        self.record = world.record
        self.streams: list[Stream] = []
        self.feeding: Feeding | None = None
        self.silent = False
        self.port = 0
        self._answers: dict[str, deque[Answer]] = {}
        self._server: grpc.aio.Server | None = None

    async def start(self) -> None:
        """Begins to listen."""
        options: list[tuple[str, int]] = [
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", _BYTES_MAX),
            ("grpc.max_send_message_length", _BYTES_MAX),
        ]
        if self.settings.connection_age_ms:
            options.append(("grpc.max_connection_age_ms", self.settings.connection_age_ms))
            options.append(("grpc.max_connection_age_grace_ms", self.settings.connection_age_grace_ms))
        self._server = grpc.aio.server(options=options)
        add_QueueServiceServicer_to_server(self, self._server)
        self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        await self._server.start()

    async def stop(self) -> None:
        """Ends all streams and connections at once."""
        if self._server is not None:
            server, self._server = self._server, None
            await server.stop(0)

    def script(self, answer: Answer) -> None:
        """This is how further calls are answered."""
        self._answers.setdefault(answer.rpc, deque()).extend([answer] * max(1, answer.times))

    def stream(self) -> Stream | None:
        """The newest stream, if it is open."""
        return self.streams[-1] if self.streams and self.streams[-1].open else None

    def send(self, frame: pb.ClaimResponse) -> None:
        """Puts a frame on the newest stream; ValueError when none is open."""
        stream = self.stream()
        if stream is None:
            raise ValueError(f"broker {self.name}: no Claim stream is open")
        stream.session.sent += len(frame.jobs.jobs)
        stream.frames.put_nowait(frame)

    def end_stream(self, error: Error | None) -> None:
        """Ends the newest stream; ValueError when none is open."""
        stream = self.stream()
        if stream is None:
            raise ValueError(f"broker {self.name}: no Claim stream is open")
        stream.frames.put_nowait(error)

    # --- the calls of the contract

    async def Claim(self, request: pb.ClaimRequest, context: Context) -> AsyncIterator[pb.ClaimResponse]:
        script = self._next("Claim")
        error = script.error if script else None
        known = self.world.sessions.get(request.session_id)
        stream = None if error else self._open(request, known)
        self._saw_claim(request, known, error, context)
        if script is not None:
            await asyncio.sleep(script.delay_ms / 1000)
        if error is not None:
            await _refuse(context, error)
        assert stream is not None
        try:
            async for frame in self._frames(stream, request, script):
                if isinstance(frame, Error):
                    await _refuse(context, frame)
                else:
                    yield frame
        finally:
            stream.open = False
            self.record.add("claim_ended", broker=self.name)

    def _open(self, request: pb.ClaimRequest, known: Session | None) -> Stream:
        session = known or Session(uuid.uuid4().hex, 0)
        self.world.sessions[session.session_id] = session
        session.max_in_flight = request.max_in_flight
        session.in_flight, session.sent, session.received = request.in_flight, 0, 0
        stream = Stream(session)
        self.streams.append(stream)
        return stream

    async def _frames(
        self, stream: Stream, request: pb.ClaimRequest, script: Answer | None
    ) -> AsyncIterator[pb.ClaimResponse | Error]:
        lease_ms = self.settings.lease_ms or wire.milliseconds(request.lease)
        started = pb.Started(
            session_id=stream.session.session_id,
            lease=wire.duration(lease_ms),
            extend_every=wire.duration(lease_ms / 3),
            keep_alive=wire.duration(self.settings.keep_alive_ms),
            max_in_flight=request.max_in_flight,
            server_version="conformance",
        )
        if script is not None and script.unknown_fields:
            wire.add_unknown(started)
        yield pb.ClaimResponse(started=started)
        if self.feeding is not None:
            self.feeding.go_on(self)
        while True:
            try:
                async with asyncio.timeout(self.settings.keep_alive_ms / 1000):
                    frame = await stream.frames.get()
            except TimeoutError:
                if not self.silent:
                    yield pb.ClaimResponse(keep_alive=pb.KeepAlive(unsettled=stream.session.unsettled))
                continue
            if frame is None:
                return
            yield frame

    async def Enqueue(self, request: pb.EnqueueRequest, context: Context) -> pb.EnqueueResponse:
        script = self._next("Enqueue")
        self._saw_enqueue("Enqueue", request.queue, [request.job], "", script, context)

        def apply() -> pb.EnqueueResponse:
            answer = pb.EnqueueResponse(
                job_id=request.job.id, deduplicated=bool(script and script.deduplicated)
            )
            return self.world.enqueued.setdefault(request.job.id, answer)

        return await self._answer(script, apply, context)

    async def EnqueueBatch(
        self, request: pb.EnqueueBatchRequest, context: Context
    ) -> pb.EnqueueBatchResponse:
        script = self._next("EnqueueBatch")
        self._saw_enqueue("EnqueueBatch", request.queue, request.jobs, request.request_id, script, context)

        def apply() -> pb.EnqueueBatchResponse:
            reasons = dict(enumerate(script.reasons if script else []))
            results: list[pb.EnqueueResult] = []
            for at, job in enumerate(request.jobs):
                name = f"ERROR_REASON_{reasons.get(at) or 'UNSPECIFIED'}"
                results.append(pb.EnqueueResult(job_id=job.id, reason=errors_pb2.ErrorReason.Value(name)))
                if not reasons.get(at):
                    self.world.enqueued.setdefault(job.id, pb.EnqueueResponse(job_id=job.id))
            answer = pb.EnqueueBatchResponse(results=results)
            return self.world.batches.setdefault(request.request_id, answer)

        return await self._answer(script, apply, context)

    async def Ack(self, request: pb.AckRequest, context: Context) -> pb.AckResponse:
        script = self._next("Ack")
        leases = settling.of_groups(request.leases)
        outcomes = self._saw_leases("Ack", leases, script, context)
        self._saw_report("Ack", request.window, leases, script)

        def apply() -> pb.AckResponse:
            settling.settle(self.world, leases, outcomes, answered=not (script and script.error))
            return pb.AckResponse(outcomes=[wire.outcome(one) for one in outcomes])

        return await self._answer(script, apply, context)

    async def Nack(self, request: pb.NackRequest, context: Context) -> pb.NackResponse:
        script = self._next("Nack")
        leases = [settling.of_nack(job) for job in request.jobs]
        outcomes = self._saw_leases("Nack", leases, script, context)
        self._saw_report("Nack", request.window, leases, script)

        def apply() -> pb.NackResponse:
            settling.settle(self.world, leases, outcomes, answered=not (script and script.error))
            return pb.NackResponse(results=[pb.NackResult(outcome=wire.outcome(one)) for one in outcomes])

        return await self._answer(script, apply, context)

    async def Extend(self, request: pb.ExtendRequest, context: Context) -> pb.ExtendResponse:
        script = self._next("Extend")
        leases = settling.of_groups(request.leases)
        outcomes = self._saw_leases("Extend", leases, script, context)
        self._saw_report("Extend", request.window, [], script)
        lease = wire.duration(self.settings.lease_ms or wire.milliseconds(request.lease))

        def apply() -> pb.ExtendResponse:
            settling.told(leases, outcomes, answered=not (script and script.error))
            return pb.ExtendResponse(
                results=[
                    pb.ExtendResult(outcome=wire.outcome(one), lease_remaining=lease) for one in outcomes
                ]
            )

        return await self._answer(script, apply, context)

    # --- what they have in common

    def _saw_claim(
        self, request: pb.ClaimRequest, known: Session | None, error: Error | None, context: Context
    ) -> None:
        leases = sorted(self.world.name_of(one) for group in request.leases for one in group.job_ids)
        self.record.add(
            "claim",
            broker=self.name,
            code=error.code if error else "OK",
            worker_id=request.worker_id,
            queues={one.queue: one.weight for one in request.queues},
            max_in_flight=request.max_in_flight,
            lease_ms=wire.milliseconds(request.lease),
            disconnect_grace_ms=wire.milliseconds(request.disconnect_grace),
            session="known" if known else request.session_id and "unknown",
            in_flight=request.in_flight,
            leases=leases,
            client_version=request.client_version,
            authorization=_metadata(context).get("authorization", ""),
        )

    def _next(self, rpc: str) -> Answer | None:
        answers = self._answers.get(rpc)
        if not answers:
            return None
        return answers[0] if answers[0].times == 0 else answers.popleft()

    async def _answer(
        self, script: Answer | None, apply: Callable[[], ResponseT], context: Context
    ) -> ResponseT:
        if script is None:
            return apply()
        if script.error is not None:
            if script.applied:
                apply()
            await asyncio.sleep(script.delay_ms / 1000)
            await _refuse(context, script.error)
        answer = apply()
        await asyncio.sleep(script.delay_ms / 1000)
        if script.unknown_fields:
            wire.add_unknown(answer, *getattr(answer, "results", ()))
        return answer

    def _saw_enqueue(
        self,
        rpc: str,
        queue: str,
        jobs: Iterable[job_pb2.JobSpec],
        request_id: str,
        script: Answer | None,
        context: Context,
    ) -> None:
        code = script.error.code if script and script.error else "OK"
        jobs = list(jobs)
        metadata = _metadata(context)
        self.record.add("call", broker=self.name, rpc=rpc, jobs=len(jobs), request_id=request_id, code=code)
        for job in jobs:
            self.record.add(
                "enqueue",
                broker=self.name,
                rpc=rpc,
                queue=queue,
                request_id=request_id,
                job_id=job.id,
                type=job.type,
                payload_bytes=len(job.payload),
                payload_sha256=hashlib.sha256(job.payload).hexdigest(),
                content_type=job.content_type,
                headers=dict(job.headers),
                priority=job.priority,
                delay_ms=wire.milliseconds(job.delay),
                idempotency_key=job.idempotency_key,
                max_runtime_ms=wire.milliseconds(job.max_runtime),
                max_attempts=job.retry.max_attempts,
                initial_backoff_ms=wire.milliseconds(job.retry.initial_backoff),
                authorization=metadata.get("authorization", ""),
                code=code,
            )

    def _saw_leases(
        self, rpc: str, leases: list[settling.Lease], script: Answer | None, context: Context
    ) -> list[str]:
        error = script.error if script else None
        self.record.add(
            "call",
            broker=self.name,
            rpc=rpc,
            jobs=len(leases),
            code=error.code if error else "OK",
            authorization=_metadata(context).get("authorization", ""),
        )
        outcomes = settling.judge(self.world, rpc, leases, script)
        for lease, outcome in zip(leases, outcomes, strict=True):
            self.record.add(
                rpc.lower(),
                broker=self.name,
                job=self.world.name_of(lease.job_id),
                current=lease.delivery is not None and self.world.is_current(lease.delivery),
                outcome="" if error else outcome,
                **lease.told,
            )
        return outcomes

    def _saw_report(
        self, rpc: str, report: pb.WindowReport, leases: list[settling.Lease], script: Answer | None
    ) -> None:
        if not report.session_id:
            return
        session = self.world.sessions.get(report.session_id)
        if session is None:
            self.world.violated(
                f"WindowReport with session_id {report.session_id!r}, which Started never gave"
            )
            return
        self.record.add(
            "report",
            rpc=rpc,
            received=report.received,
            in_flight=report.in_flight,
            seq=report.seq,
            session=report.session_id,
            settles=len(leases),
            sent=session.sent,
        )
        if script is not None and (script.ignore_window or script.error is not None):
            return
        if report.seq > session.seq:
            session.seq, session.in_flight, session.received = report.seq, report.in_flight, report.received
        if self.feeding is not None:
            self.feeding.go_on(self)


def _metadata(context: Context) -> dict[str, str]:
    return {key: str(value) for key, value in context.invocation_metadata() or ()}


async def _refuse(context: Context, error: Error) -> None:
    code, message, trailers = wire.status(error)
    if trailers:
        context.set_trailing_metadata(trailers)
    await context.abort(code, message)
