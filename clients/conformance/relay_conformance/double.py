"""The broker double: a scripted server that answers as the scenario says, and otherwise as a server would."""

import asyncio
import uuid
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import CancelledError
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message

from relay.v1 import errors_pb2
from relay.v1 import queue_service_pb2 as pb
from relay_conformance import settling, wire
from relay_conformance.feeding import Feeding
from relay_conformance.notes import Notes
from relay_conformance.scenario import Answer, Broker, Error
from relay_conformance.scripted import Call, Refuse, ScriptedServer, Stream
from relay_conformance.world import Session, World

_BYTES_MAX = 4 << 20

ResponseT = TypeVar("ResponseT", bound=Message)


class ClaimStream:
    """One Claim stream and its session; `open` until the call is over."""

    def __init__(self, session: Session, frames: Stream) -> None:
        self.session = session
        self.frames = frames
        self.open = True


class BrokerDouble(ScriptedServer):
    """Listens on a free port of 127.0.0.1; `port` stays the same when it is stopped and started again.

    Calls come on threads; all that they do to the world and its record is done in the event loop of the scenario.
    """

    def __init__(self, name: str, settings: Broker, world: World) -> None:
        options = [
            ("grpc.max_receive_message_length", _BYTES_MAX),
            ("grpc.max_send_message_length", _BYTES_MAX),
        ]
        if settings.connection_age_ms:
            options.append(("grpc.max_connection_age_ms", settings.connection_age_ms))
            options.append(("grpc.max_connection_age_grace_ms", settings.connection_age_grace_ms))
        super().__init__(options=options)
        self.name = name
        self.settings = settings
        self.world = world
        self.notes = Notes(name, world)
        self.streams: list[ClaimStream] = []
        self.feeding: Feeding | None = None
        self.silent = False
        self.port = 0
        self._answers: dict[str, deque[Answer]] = {}
        self._loop = asyncio.get_running_loop()
        self._scripts: dict[str, Callable[[Call], Coroutine[Any, Any, Any]]] = {
            "Claim": self._claim,
            "Enqueue": self._enqueue,
            "EnqueueBatch": self._enqueue_batch,
            "Ack": self._ack,
            "Nack": self._nack,
            "Extend": self._extend,
        }

    def listen(self) -> None:
        """Begins to listen."""
        self.port = int(self.start(f"127.0.0.1:{self.port}").rpartition(":")[2])

    async def close(self) -> None:
        """Ends all streams and connections at once."""
        await asyncio.to_thread(self.stop)

    def script(self, answer: Answer) -> None:
        """This is how further calls are answered."""
        self._answers.setdefault(answer.rpc, deque()).extend([answer] * max(1, answer.times))

    def stream(self) -> ClaimStream | None:
        """The newest stream, if it is open."""
        return self.streams[-1] if self.streams and self.streams[-1].open else None

    def send(self, frame: pb.ClaimResponse) -> None:
        """Puts a frame on the newest stream; ValueError when none is open."""
        stream = self._open_stream()
        stream.session.sent += len(frame.jobs.jobs)
        stream.frames.send(frame)

    def end_stream(self, error: Error | None) -> None:
        """Ends the newest stream; ValueError when none is open."""
        self._open_stream().frames.end(wire.refuse(error) if error else None)

    def _open_stream(self) -> ClaimStream:
        stream = self.stream()
        if stream is None:
            raise ValueError(f"broker {self.name}: no Claim stream is open")
        return stream

    # --- the calls of the contract

    def answer(self, call: Call) -> Any:
        """Runs the script of this RPC in the scenario's event loop, until the call is over."""
        answering = asyncio.run_coroutine_threadsafe(self._scripts[call.rpc](call), self._loop)
        call.when_ended(answering.cancel)
        try:
            return answering.result()
        except CancelledError:
            raise Refuse(grpc.StatusCode.CANCELLED, "the client is gone") from None

    async def _claim(self, call: Call) -> Iterator[Message]:
        request: pb.ClaimRequest = call.request
        script = self._next("Claim")
        error = script.error if script else None
        known = self.world.sessions.get(request.session_id)
        stream = None if error else self._open(call, known)
        self.notes.claim(call, known, error)
        if script is not None:
            await asyncio.sleep(script.delay_ms / 1000)
        if error is not None:
            raise wire.refuse(error)
        assert stream is not None
        call.when_ended(lambda: self._loop.call_soon_threadsafe(self._ended, stream))
        return self._frames(stream, self._started(request, stream.session, script))

    def _open(self, call: Call, known: Session | None) -> ClaimStream:
        session = known or Session(uuid.uuid4().hex, 0)
        self.world.sessions[session.session_id] = session
        session.max_in_flight = call.request.max_in_flight
        session.in_flight, session.sent, session.received = call.request.in_flight, 0, 0
        stream = ClaimStream(session, Stream(call))
        self.streams.append(stream)
        return stream

    def _started(self, request: pb.ClaimRequest, session: Session, script: Answer | None) -> pb.Started:
        lease_ms = self.settings.lease_ms or wire.milliseconds(request.lease)
        started = pb.Started(
            session_id=session.session_id,
            lease=wire.duration(lease_ms),
            extend_every=wire.duration(lease_ms / 3),
            keep_alive=wire.duration(self.settings.keep_alive_ms),
            max_in_flight=request.max_in_flight,
            server_version="conformance",
        )
        if script is not None and script.unknown_fields:
            wire.add_unknown(started)
        return started

    def _frames(self, stream: ClaimStream, started: pb.Started) -> Iterator[Message]:
        yield pb.ClaimResponse(started=started)
        self._loop.call_soon_threadsafe(self._feed)
        yield from stream.frames.frames(
            self.settings.keep_alive_ms / 1000,
            lambda: (
                None
                if self.silent
                else pb.ClaimResponse(keep_alive=pb.KeepAlive(unsettled=stream.session.unsettled))
            ),
        )

    def _feed(self) -> None:
        if self.feeding is not None:
            self.feeding.go_on(self)

    def _ended(self, stream: ClaimStream) -> None:
        stream.open = False
        self.notes.claim_ended()

    async def _enqueue(self, call: Call) -> pb.EnqueueResponse:
        request: pb.EnqueueRequest = call.request
        script = self._next("Enqueue")
        self.notes.enqueue(call, [request.job], "", script)

        def apply() -> pb.EnqueueResponse:
            answer = pb.EnqueueResponse(
                job_id=request.job.id, deduplicated=bool(script and script.deduplicated)
            )
            return self.world.enqueued.setdefault(request.job.id, answer)

        return await self._answer(script, apply)

    async def _enqueue_batch(self, call: Call) -> pb.EnqueueBatchResponse:
        request: pb.EnqueueBatchRequest = call.request
        script = self._next("EnqueueBatch")
        self.notes.enqueue(call, request.jobs, request.request_id, script)

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

        return await self._answer(script, apply)

    async def _ack(self, call: Call) -> pb.AckResponse:
        script = self._next("Ack")
        leases = settling.of_groups(call.request.leases)
        outcomes = self._judged(call, leases, leases, script)

        def apply() -> pb.AckResponse:
            settling.settle(self.world, leases, outcomes, answered=not (script and script.error))
            return pb.AckResponse(outcomes=[wire.outcome(one) for one in outcomes])

        return await self._answer(script, apply)

    async def _nack(self, call: Call) -> pb.NackResponse:
        script = self._next("Nack")
        leases = [settling.of_nack(job) for job in call.request.jobs]
        outcomes = self._judged(call, leases, leases, script)

        def apply() -> pb.NackResponse:
            settling.settle(self.world, leases, outcomes, answered=not (script and script.error))
            return pb.NackResponse(results=[pb.NackResult(outcome=wire.outcome(one)) for one in outcomes])

        return await self._answer(script, apply)

    async def _extend(self, call: Call) -> pb.ExtendResponse:
        script = self._next("Extend")
        leases = settling.of_groups(call.request.leases)
        outcomes = self._judged(call, leases, [], script)
        lease = wire.duration(self.settings.lease_ms or wire.milliseconds(call.request.lease))

        def apply() -> pb.ExtendResponse:
            settling.note_lost(leases, outcomes, answered=not (script and script.error))
            return pb.ExtendResponse(
                results=[
                    pb.ExtendResult(outcome=wire.outcome(one), lease_remaining=lease) for one in outcomes
                ]
            )

        return await self._answer(script, apply)

    # --- what they have in common

    def _next(self, rpc: str) -> Answer | None:
        answers = self._answers.get(rpc)
        if not answers:
            return None
        return answers[0] if answers[0].times == 0 else answers.popleft()

    def _judged(
        self,
        call: Call,
        leases: list[settling.Lease],
        settled: list[settling.Lease],
        script: Answer | None,
    ) -> list[str]:
        """The outcome of each lease, noted; the call's window counts, and makes room for further jobs."""
        outcomes = settling.judge(self.world, call.rpc, leases, script)
        self.notes.leases(call, leases, outcomes, script)
        if self.notes.report(call, settled, script):
            self._feed()
        return outcomes

    async def _answer(self, script: Answer | None, apply: Callable[[], ResponseT]) -> ResponseT:
        if script is None:
            return apply()
        if script.error is not None:
            if script.applied:
                apply()
            await asyncio.sleep(script.delay_ms / 1000)
            raise wire.refuse(script.error)
        answer = apply()
        await asyncio.sleep(script.delay_ms / 1000)
        if script.unknown_fields:
            wire.add_unknown(answer, *getattr(answer, "results", ()))
        return answer
