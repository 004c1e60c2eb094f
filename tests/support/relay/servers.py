"""A server in the test's event loop, and the client's side of one that runs elsewhere."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from relay.v1 import admin_service_pb2_grpc, dead_letter_service_pb2_grpc, queue_service_pb2_grpc
from relay.v1 import job_pb2 as jobs
from relay.v1 import queue_service_pb2 as pb
from relay_server.app import Server
from relay_server.config import Config
from relay_server.engine import Operations
from relay_server.model import QueueSnapshot
from relay_server.storage import StorageConfig, open_storage
from tests.support.relay.claimer import Claimer
from tests.support.relay.values import KEEP_ALIVE_S, seconds, spec
from tests.support.waiting import eventually


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
    def http_port(self) -> int:
        """The port that was chosen for HTTP."""
        assert self.app.http is not None, "this server serves no HTTP"
        return self.app.http.port

    @property
    def ops(self) -> Operations:
        """The operator's side of the engine, past gRPC."""
        return self.app.engine.operations

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
    # A window of its own size, so that a client that does not read takes in as many jobs on a busy machine.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", 1024 * 1024),
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
        # Much may wait for a worker that does not read. The bound itself has tests of its own.
        "session_bytes_max": 64 << 20,
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
            assert server.sessions.rooms.used == 0, "what waited for readers was not let go"


async def _serves(relay: Relay) -> bool:
    return await relay.health() == "SERVING"


@asynccontextmanager
async def connected(address: str) -> AsyncIterator[Relay]:
    """The client's side of a server that runs elsewhere."""
    async with connect(address) as channel:
        relay = Relay(address, channel)
        try:
            yield relay
        finally:
            await close_claimers(relay)
