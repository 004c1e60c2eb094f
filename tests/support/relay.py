"""Runs real Relay servers for tests, in the test's process or as programs, and a worker that does only what it is told.

async with relay_server(redis_url) as relay:                 a server in this event loop, on a port of its own
    await relay.queue.Enqueue(...)                           the generated stubs
    claimer = await relay.claimer("emails", max_in_flight=2)
    held = await claimer.take(1)
    await claimer.ack(*held)
"""

import asyncio
import itertools
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, TypeVar

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from relay.v1 import admin_service_pb2_grpc, dead_letter_service_pb2_grpc, queue_service_pb2_grpc
from relay.v1 import job_pb2 as jobs
from relay.v1 import queue_service_pb2 as pb
from relay_server.app import Server
from relay_server.config import Config
from relay_server.engine import Operations
from relay_server.model import QueueSnapshot
from relay_server.storage import StorageConfig, open_storage

T = TypeVar("T")
Window: TypeAlias = "pb.WindowReport | None"

KEEP_ALIVE_S = 0.3
WITHIN_S = 10.0


async def eventually(
    condition: Callable[[], Any], *, within: float = WITHIN_S, what: str = "the condition"
) -> Any:
    """Polls until the condition is true and returns its value. AssertionError with the last value after `within` s."""
    ends = time.monotonic() + within
    while True:
        value = condition()
        if isinstance(value, Awaitable):
            value = await value
        if value:
            return value
        assert time.monotonic() < ends, f"{what} did not come true within {within:g} s; last: {value!r}"
        await asyncio.sleep(0.005)


def seconds(value: float) -> Duration:
    message = Duration()
    message.FromTimedelta(timedelta(seconds=value))
    return message


_numbers = itertools.count(1)


def new_id() -> str:
    """A UUIDv7 as SDKs mint them: later ones sort behind."""
    now = time.time_ns() // 1_000_000
    return str(uuid.UUID(int=now << 80 | 7 << 76 | 2 << 62 | next(_numbers)))


def new_queue() -> str:
    """A name no other test has."""
    return f"q-{uuid.uuid4().hex[:12]}"


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


class Claimer:
    """A Claim stream on raw stubs. It reads frames all the time, unless told not to, and settles when told to.

    `received` counts jobs of this stream. Its window reports are those of a well-behaved worker, unless a test sends
    other ones.
    """

    def __init__(self, relay: "Relay", request: pb.ClaimRequest, *, reading: bool = True) -> None:
        self.relay = relay
        self.request = request
        self.call = relay.queue.Claim(request)
        self.started = pb.Started()
        self.frames: list[pb.ClaimResponse] = []
        self.received = 0
        self.unsettled: dict[str, Held] = {}
        self.ended: BaseException | None = None
        self._fresh: list[Held] = []
        self._arrived = asyncio.Event()
        self._reading = reading
        self._reader: asyncio.Task[None] | None = None
        self.seq = 0

    async def open(self, *, seq: int = 0) -> "Claimer":
        """Waits for Started. `seq` goes on where an earlier stream of the session ended."""
        self.seq = seq
        frame = await asyncio.wait_for(self.call.read(), WITHIN_S)
        assert isinstance(frame, pb.ClaimResponse), await self.call.details()
        assert frame.WhichOneof("frame") == "started"
        self.started = frame.started
        if self._reading:
            self.read_on()
        return self

    def read_on(self) -> None:
        """Starts to read, for a claimer that did not."""
        self._reader = asyncio.create_task(self._read(), name="claimer")

    async def _read(self) -> None:
        try:
            while isinstance(frame := await self.call.read(), pb.ClaimResponse):
                self._note(frame)
            self.ended = StopAsyncIteration()
        except BaseException as error:  # noqa: BLE001 - kept for the test
            self.ended = error
        finally:
            self._arrived.set()

    def _note(self, frame: pb.ClaimResponse) -> None:
        self.frames.append(frame)
        if frame.WhichOneof("frame") == "jobs":
            held = [Held(frame.jobs.queue, frame.jobs.lease_token, job) for job in frame.jobs.jobs]
            self.received += len(held)
            self._fresh += held
            self.unsettled |= {one.id: one for one in held}
        self._arrived.set()

    async def _until(self, condition: Callable[[], T], within: float, what: str) -> T:
        ends = time.monotonic() + within
        while not (value := condition()):
            self._arrived.clear()
            if self.ended is not None:
                raise AssertionError(f"the stream ended before {what}") from self.ended
            try:
                await asyncio.wait_for(self._arrived.wait(), max(0.001, ends - time.monotonic()))
            except TimeoutError:
                raise AssertionError(f"{what} did not come within {within:g} s; {self.kinds()}") from None
        return value

    def kinds(self) -> list[str]:
        """What was read so far, by kind."""
        return [str(frame.WhichOneof("frame")) for frame in self.frames]

    async def take(self, n: int, *, within: float = WITHIN_S) -> list[Held]:
        """The next `n` jobs that no earlier call returned."""
        await self._until(lambda: len(self._fresh) >= n, within, f"{n} jobs (have {len(self._fresh)})")
        taken, self._fresh = self._fresh[:n], self._fresh[n:]
        return taken

    def rest(self) -> list[Held]:
        """The jobs that came and were not taken."""
        taken, self._fresh = self._fresh, []
        return taken

    async def frame(self, kind: str, *, within: float = WITHIN_S, after: int = 0) -> pb.ClaimResponse:
        """The first frame of this kind among those from number `after` on."""

        def find() -> pb.ClaimResponse | None:
            return next((one for one in self.frames[after:] if one.WhichOneof("frame") == kind), None)

        frame = await self._until(find, within, f"a {kind} frame")
        assert frame is not None
        return frame

    async def quiet(self) -> int:
        """Waits until nothing was sent for a keep-alive interval; returns the server's count of unsettled jobs."""
        frame = await self.frame("keep_alive", after=len(self.frames))
        return frame.keep_alive.unsettled

    async def end(self, *, within: float = WITHIN_S) -> BaseException:
        """Waits until the stream has ended; StopAsyncIteration when it ended well."""
        await eventually(lambda: self.ended is not None, within=within, what="the end of the stream")
        assert self.ended is not None
        return self.ended

    # --- settling

    def report(self, *, received: int | None = None, in_flight: int | None = None) -> pb.WindowReport:
        self.seq += 1
        return pb.WindowReport(
            session_id=self.started.session_id,
            received=self.received if received is None else received,
            in_flight=len(self.unsettled) if in_flight is None else in_flight,
            seq=self.seq,
            stream=self.started.stream,
        )

    def settled(self, held: Iterable[Held]) -> None:
        for one in held:
            self.unsettled.pop(one.id, None)

    async def ack(
        self, *held: Held, report: bool = True, via: "Relay | None" = None
    ) -> list["pb.LeaseOutcome.ValueType"]:
        """Acks, and restates the window unless told not to. `via` another server."""
        self.settled(held)
        request = pb.AckRequest(leases=lease_groups(held), window=self.report() if report else None)
        return list((await (via or self.relay).queue.Ack(request)).outcomes)

    async def nack(
        self,
        *held: Held,
        kind: "pb.NackKind.ValueType" = pb.NACK_KIND_RETRY,
        after: float | None = None,
        error: jobs.JobError | None = None,
        report: bool = True,
    ) -> list[pb.NackResult]:
        self.settled(held)
        entries = [
            pb.NackedJob(
                queue=one.queue,
                job_id=one.id,
                lease_token=one.token,
                kind=kind,
                after=None if after is None else seconds(after),
                error=error,
            )
            for one in held
        ]
        request = pb.NackRequest(jobs=entries, window=self.report() if report else None)
        return list((await self.relay.queue.Nack(request)).results)

    async def extend(self, *held: Held, lease: float | None = None, **fields: Any) -> list[pb.ExtendResult]:
        request = pb.ExtendRequest(
            leases=lease_groups(held), lease=None if lease is None else seconds(lease), **fields
        )
        return list((await self.relay.queue.Extend(request)).results)

    async def restate(self, *, via: "Relay | None" = None, window: Window = None) -> None:
        """Reports the window and nothing else."""
        await (via or self.relay).queue.Extend(pb.ExtendRequest(window=window or self.report()))

    async def close(self) -> None:
        """Cancels the stream, as a client that goes away does."""
        self.call.cancel()
        if self._reader is not None:
            await asyncio.wait({self._reader}, timeout=WITHIN_S)


@dataclass(slots=True)
class Relay:
    """The client's side of a server: its address, stubs and claimers. In this process also the server itself."""

    address: str
    channel: grpc.aio.Channel
    server: Server | None = None
    claimers: list[Claimer] = field(default_factory=list)
    stop: Callable[[], Awaitable[None]] | None = None

    @property
    def queue(self) -> "queue_service_pb2_grpc.QueueServiceAsyncStub":
        return queue_service_pb2_grpc.QueueServiceStub(self.channel)

    @property
    def dead_letters(self) -> "dead_letter_service_pb2_grpc.DeadLetterServiceAsyncStub":
        return dead_letter_service_pb2_grpc.DeadLetterServiceStub(self.channel)

    @property
    def admin(self) -> "admin_service_pb2_grpc.AdminServiceAsyncStub":
        return admin_service_pb2_grpc.AdminServiceStub(self.channel)

    @property
    def app(self) -> Server:
        assert self.server is not None, "this server is another process"
        return self.server

    @property
    def ops(self) -> Operations:
        """The operator's side of the engine, past gRPC."""
        return Operations(self.app.engine)

    async def stats(self, queue: str) -> QueueSnapshot:
        return await self.ops.stats(queue)

    async def health(self, service: str = "") -> str:
        stub: Any = health_pb2_grpc.HealthStub(self.channel)
        reply = await stub.Check(health_pb2.HealthCheckRequest(service=service))
        return health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status)

    async def enqueue(self, queue: str, *specs: jobs.JobSpec) -> list[str]:
        """Ids of the jobs, each of which must be accepted."""
        reply = await self.queue.EnqueueBatch(pb.EnqueueBatchRequest(queue=queue, jobs=specs or [spec()]))
        assert not any(result.reason or result.deduplicated for result in reply.results)
        return [result.job_id for result in reply.results]

    def claimer_of(self, request: pb.ClaimRequest, *, reading: bool = True) -> Claimer:
        """A claimer that is not opened yet."""
        claimer = Claimer(self, request, reading=reading)
        self.claimers.append(claimer)
        return claimer

    async def claimer(
        self,
        queues: str | Mapping[str, int],
        *,
        max_in_flight: int = 10,
        lease: float | None = None,
        grace: float | None = None,
        reading: bool = True,
        seq: int = 0,
        **fields: Any,
    ) -> Claimer:
        """An open stream on one queue, or several with weights. Times are seconds."""
        weights = {queues: 1} if isinstance(queues, str) else queues
        request = pb.ClaimRequest(
            queues=[pb.QueueWeight(queue=queue, weight=weight) for queue, weight in weights.items()],
            worker_id="test-worker",
            max_in_flight=max_in_flight,
            lease=None if lease is None else seconds(lease),
            disconnect_grace=None if grace is None else seconds(grace),
            **fields,
        )
        return await self.claimer_of(request, reading=reading).open(seq=seq)


async def close_claimers(relay: Relay) -> None:
    for claimer in relay.claimers:
        await claimer.close()


_OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.enable_retries", 0),  # what a server answers is what a test sees
    ("grpc.use_local_subchannel_pool", 1),  # a connection of its own, also to a server at a used address
)


def connect(address: str) -> grpc.aio.Channel:
    return grpc.aio.insecure_channel(address, options=_OPTIONS)


@asynccontextmanager
async def relay_server(
    redis_url: str, *, storage: Mapping[str, Any] | None = None, **config: Any
) -> AsyncIterator[Relay]:
    """A server in this event loop. `config` are fields of Config, `storage` those of StorageConfig."""
    settings: dict[str, Any] = {
        "listen": "127.0.0.1:0",
        "http": "off",
        "keep_alive_s": KEEP_ALIVE_S,
        "drain_grace_s": 2.0,
    }
    options = Config(**(settings | config))
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    stopping = asyncio.Event()
    async with AsyncExitStack() as stack:
        opened = await stack.enter_async_context(
            await open_storage(StorageConfig(redis_url=redis_url, **(storage or {})))
        )
        server = Server(options, opened)
        run = asyncio.create_task(server.run(stopping, ready.set_result), name="server")
        run.add_done_callback(
            lambda _: None if ready.done() else ready.set_exception(run.exception() or OSError())
        )
        address = (await ready).split("grpc=", 1)[1].split(" ", 1)[0]

        async def stop() -> None:
            """Ends the server as SIGTERM does, and waits for it."""
            stopping.set()
            await run

        channel = await stack.enter_async_context(connect(address))
        relay = Relay(address, channel, server, stop=stop)
        try:
            await eventually(lambda: _serves(relay), what="health SERVING")
            yield relay
        finally:
            try:
                await close_claimers(relay)
            finally:
                await asyncio.wait_for(stop(), 30)


async def _serves(relay: Relay) -> bool:
    return await relay.health() == "SERVING"


@dataclass(slots=True)
class ServerProgram:
    """`relay-server` as a program. What it says is in `log`."""

    process: subprocess.Popen[bytes]
    log: Path
    address: str = ""

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.process.kill()

    async def exit_code(self, *, within: float = 15.0) -> int:
        await eventually(lambda: self.process.poll() is not None, within=within, what="the server's end")
        return int(self.process.returncode)


@asynccontextmanager
async def server_program(*options: str, env: Mapping[str, str] | None = None) -> AsyncIterator[ServerProgram]:
    """The program on a free port, once it said that it is ready. What still runs at the end is killed, by its pid."""
    with tempfile.TemporaryDirectory(prefix="relay-server-", dir="/tmp") as folder:
        log = Path(folder) / "log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-c", "from relay_server.cli import main; main()"),
                    *("--listen", "127.0.0.1:0", "--http", "off", "--log-format", "json", *options),
                ],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
            )
        program = ServerProgram(process, log)
        try:
            await eventually(
                lambda: process.poll() is not None or "relay-server ready" in program.said(),
                within=30,
                what="the ready line",
            )
            assert process.poll() is None, program.said()
            program.address = program.said().split("grpc=", 1)[1].split(" ", 1)[0]
            yield program
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()


@asynccontextmanager
async def connected(address: str) -> AsyncIterator[Relay]:
    """The client's side of a server that runs elsewhere."""
    async with connect(address) as channel:
        relay = Relay(address, channel)
        try:
            yield relay
        finally:
            await close_claimers(relay)


# --- errors


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a caller can read of a failed call."""

    code: grpc.StatusCode
    text: str
    reason: str = ""
    domain: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    fields: dict[str, str] = field(default_factory=dict)
    retry_after_s: float | None = None
    quota: list[str] = field(default_factory=list)


async def refusal(call: "Awaitable[Any] | grpc.aio.UnaryStreamCall[Any, Any]") -> Refusal:
    """The error of a call that must fail. A stream is read until it fails."""
    try:
        if isinstance(call, grpc.aio.UnaryStreamCall):
            while await call.read() is not grpc.aio.EOF:
                pass
        else:
            await call
    except grpc.aio.AioRpcError as error:
        return read_refusal(error)
    raise AssertionError("the call succeeded")


def read_refusal(error: grpc.aio.AioRpcError) -> Refusal:
    values: dict[str, Any] = {}
    status = rpc_status.from_call(error)  # type: ignore[arg-type] # an AioRpcError has what is read of it
    for detail in status.details if status is not None else []:
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            info = error_details_pb2.ErrorInfo.FromString(detail.value)
            values |= {"reason": info.reason, "domain": info.domain, "metadata": dict(info.metadata)}
        elif detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            bad = error_details_pb2.BadRequest.FromString(detail.value)
            values["fields"] = {one.field: one.description for one in bad.field_violations}
        elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            delay = error_details_pb2.RetryInfo.FromString(detail.value).retry_delay
            values["retry_after_s"] = delay.seconds + delay.nanos / 1e9
        elif detail.Is(error_details_pb2.QuotaFailure.DESCRIPTOR):
            quota = error_details_pb2.QuotaFailure.FromString(detail.value)
            values["quota"] = [one.subject for one in quota.violations]
    return Refusal(error.code(), error.details() or "", **values)
