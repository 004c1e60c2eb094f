"""An operator's view for tests: AdminService and DeadLetterService over a real socket, on a lab's engine and clock."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc

from relay.v1 import admin_service_pb2_grpc, dead_letter_service_pb2_grpc
from relay_server.engine.snapshots import Snapshots
from relay_server.engine.turns import Turns
from relay_server.model import Lease, NackedJob
from relay_server.observability.metrics import Metrics
from relay_server.rpc import desk as rpc_desk
from relay_server.rpc.admin_service import AdminService
from relay_server.rpc.admission import CallBounds
from relay_server.rpc.dead_letter_service import DeadLetterService
from relay_server.rpc.interceptors import EdgeInterceptor
from relay_server.rpc.server_facts import ServerFacts, StoreInfo
from relay_server.rpc.stats_feed import StatsFeed
from relay_server.security.gate import Gate, PrincipalLimits
from relay_server.storage import Durability, StorageReport
from relay_server.words import NackWord
from tests.support.engine import Lab, a_job

REPORT = StorageReport(
    server_name="valkey",
    server_version="9.0.0",
    durability=Durability.OS,
    durability_known=True,
    maxmemory_bytes=0,
    used_memory_bytes=123,
    aof_last_write_ok=True,
    warnings=("slow disk",),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Stubs of both services, and what the server's life would do to them."""

    lab: Lab
    admin: "admin_service_pb2_grpc.AdminServiceAsyncStub"  # in the stubs only
    dead: "dead_letter_service_pb2_grpc.DeadLetterServiceAsyncStub"
    feed: StatsFeed
    metrics: Metrics
    draining: asyncio.Event


@asynccontextmanager
async def open_desk(lab: Lab) -> AsyncIterator[Desk]:
    ops, engine, metrics, draining = lab.ops, lab.engine, Metrics(), asyncio.Event()

    async def store_info() -> StoreInfo:
        return StoreInfo(report=REPORT, embedded=True, format=1)

    feed = StatsFeed(Snapshots(engine.names, ops), interval_s=0.01)
    facts = ServerFacts(
        version="9.9.9",
        server_id="server-1",
        start_ms=1000,
        payload_bytes_max=1 << 20,
        streams_max=77,
        store_info=store_info,
        streams=lambda: 3,
        script_timings=metrics.script_timings,
    )
    desk = rpc_desk.Desk(ops=ops, names=engine.names, turns=Turns(), draining=draining)
    gate = Gate(None, PrincipalLimits(streams=1, calls_per_s=0))
    bounds = CallBounds(calls=100, readers=10, message_within_s=10)
    server = grpc.aio.server(interceptors=[EdgeInterceptor(metrics.grpc_handled, gate, bounds)])
    admin_service_pb2_grpc.add_AdminServiceServicer_to_server(
        AdminService(desk, engine.roster, feed, facts), server
    )
    dead_letter_service_pb2_grpc.add_DeadLetterServiceServicer_to_server(DeadLetterService(desk), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield Desk(
                lab=lab,
                admin=admin_service_pb2_grpc.AdminServiceStub(channel),
                dead=dead_letter_service_pb2_grpc.DeadLetterServiceStub(channel),
                feed=feed,
                metrics=metrics,
                draining=draining,
            )
    finally:
        await server.stop(None)


async def bury(
    lab: Lab, jobs: int, *, types: Sequence[str] = ("test",), error_type: str = "Boom"
) -> list[bytes]:
    """Dead letters, all of one moment; their types take turns. Returns their ids in that order."""
    ids: list[bytes] = []
    for start in range(0, jobs, 500):
        size = min(500, jobs - start)
        ids += await lab.enqueued(*(a_job(job_type=types[(start + i) % len(types)]) for i in range(size)))
        taken = await lab.claim(size)
        await reject(lab, taken.leases, error_type=error_type)
    return ids


async def reject(lab: Lab, leases: Sequence[Lease], *, error_type: str = "Boom", error: bytes = b"") -> None:
    await lab.transitions.nack(
        lab.queue,
        [NackedJob(lease.id, lease.token, NackWord.DEAD, -1, error_type, error) for lease in leases],
    )


async def steps_of(call: Any) -> list[Any]:
    """All answers of a bulk stream; only the last may say that it is done."""
    steps = [step async for step in call]
    assert [step.done for step in steps] == [False] * (len(steps) - 1) + [True]
    return steps
