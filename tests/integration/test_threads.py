"""The loop's thread goes before those of gRPC, whichever and however many there are."""

import asyncio
import sys
from pathlib import Path

import grpc
import pytest

from relay.v1 import queue_service_pb2 as pb
from relay.v1 import queue_service_pb2_grpc
from relay_server.threads import NICE
from tests.support.relay import server_program, spec


def priorities(pid: int) -> dict[str, set[int]]:
    """By the name of a thread, how far it stands behind the process's own priority."""
    found: dict[str, set[int]] = {}
    base = _nice(Path(f"/proc/{pid}/task/{pid}/stat"))
    for task in Path(f"/proc/{pid}/task").iterdir():
        name = (task / "comm").read_text().strip()
        found.setdefault(name, set()).add(_nice(task / "stat") - base)
    return found


def _nice(stat: Path) -> int:
    return int(stat.read_text().rpartition(")")[2].split()[16])


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no priorities of threads")
async def test_threads_of_grpc_have_less_priority_also_later_ones(redis_url: str) -> None:
    async with server_program("--redis-url", redis_url) as program:
        pid = program.process.pid

        async def enqueue() -> None:
            async with grpc.aio.insecure_channel(program.address) as channel:
                stub: queue_service_pb2_grpc.QueueServiceAsyncStub
                stub = queue_service_pb2_grpc.QueueServiceStub(channel)
                await stub.Enqueue(pb.EnqueueRequest(queue="mail", job=spec()))

        await asyncio.gather(*(enqueue() for _ in range(50)))
        found = priorities(pid)
        assert found.pop("python") == {0}
        assert found["event_engine"] == {NICE}
