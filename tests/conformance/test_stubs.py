"""The examples that use nothing but generated stubs, as programs against a real server."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from relay.v1 import admin_service_pb2
from tests.integration.conftest import redis_url, relay, relay_redis
from tests.support.relay import Relay, eventually, spec

__all__ = ["redis_url", "relay", "relay_redis"]  # fixtures

EXAMPLES = Path(__file__).parents[2] / "clients" / "python" / "examples"
WITHIN_S = 60.0


@asynccontextmanager
async def _program(name: str, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(EXAMPLES / name), *arguments, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_a_producer_and_a_worker_of_stubs_alone(relay: Relay) -> None:
    async with _program("stub_producer.py", relay.address, "emails", "600") as producer:
        out, _ = await asyncio.wait_for(producer.communicate(), WITHIN_S)
    assert (out, producer.returncode) == (b"600 accepted\n", 0)
    async with _program("stub_worker.py", relay.address, "emails") as worker:
        assert worker.stdout is not None
        async with asyncio.timeout(WITHIN_S):
            lines = [(await worker.stdout.readline()).decode() for _ in range(600)]
        assert sorted(lines) == sorted(f"hello {n}\n" for n in range(600))
        await eventually(lambda: _empty(relay), within=WITHIN_S, what="every Ack")
        worker.terminate()
        assert await asyncio.wait_for(worker.wait(), WITHIN_S) == 0


async def test_the_worker_gives_back_what_fails_and_what_it_cannot_read(relay: Relay) -> None:
    (bad,) = await relay.enqueue("emails", spec(b"not json"))
    async with _program("stub_worker.py", relay.address, "emails"):
        await eventually(lambda: _failed(relay, bad), within=WITHIN_S, what="the failed attempt")


async def _empty(relay: Relay) -> bool:
    stats = await relay.stats("emails")
    return stats.ready == stats.delayed == stats.inflight == stats.dead == 0


async def _failed(relay: Relay, job_id: str) -> bool:
    found = await relay.admin.GetJob(admin_service_pb2.GetJobRequest(queue="emails", job_id=job_id))
    return any(failure.error.type == "JSONDecodeError" for failure in found.failures)
