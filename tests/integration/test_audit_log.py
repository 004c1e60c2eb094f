"""What the audit log says of operators and of calls that were not let in, over gRPC and HTTP (I18)."""

import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import grpc
import pytest

from relay.v1 import admin_service_pb2 as pb
from relay.v1 import job_pb2 as jobs
from relay.v1 import queue_service_pb2 as queue_pb
from relay_server.security.audit import REFUSED_PER_MINUTE_MAX
from tests.support.credentials import Metadata, TokensFile, bearer
from tests.support.http import request
from tests.support.relay import Relay, ServerProgram, connected, eventually, refusal, server_program, spec

QUEUE = "mine"
PAUSE = pb.PauseQueueRequest(queue=QUEUE)


@pytest.fixture
def desk(tokens: TokensFile) -> str:
    """The token of an operator."""
    return tokens.add("desk", producer="*", operator="*")


@pytest.fixture
async def program(redis_url: str, tokens: TokensFile, desk: str) -> AsyncIterator[ServerProgram]:
    options = ("--redis-url", redis_url, "--http", "127.0.0.1:0", "--tokens-file", str(tokens.path))
    async with server_program(*options) as program:
        yield program


@pytest.fixture
async def relay(program: ServerProgram) -> AsyncIterator[Relay]:
    async with connected(program.address) as relay:
        yield relay


def events(program: ServerProgram, name: str) -> list[dict[str, Any]]:
    """The lines of the audit log with this name."""
    lines = [json.loads(line) for line in program.said().splitlines() if line.startswith("{")]
    return [line for line in lines if line.get("logger") == "relay_server.audit" and line["event"] == name]


async def logged(program: ServerProgram, name: str, n: int) -> list[dict[str, Any]]:
    """The `n` lines with this name: a call is answered first and logged then."""
    await eventually(lambda: len(events(program, name)) >= n, what=f"{n} lines {name}")
    found = events(program, name)
    assert len(found) == n, found
    return found


def http_port(program: ServerProgram) -> int:
    return int(program.http_address.rpartition(":")[2])


async def refused(call: Any) -> str:
    return (await refusal(call)).code.name


async def test_calls_on_many_jobs_are_counted(relay: Relay, program: ServerProgram, desk: str) -> None:
    batch = queue_pb.EnqueueBatchRequest(queue=QUEUE, jobs=[spec() for _ in range(7)])
    await relay.queue.EnqueueBatch(batch, metadata=bearer(desk))
    for dry in (True, False):
        asked = pb.CancelJobsRequest(queue=QUEUE, dry_run=dry)
        asked.filter.state, asked.filter.all = jobs.JOB_STATE_READY, True
        async for _ in relay.admin.CancelJobs(asked, metadata=bearer(desk)):
            pass
    preview, done = await logged(program, "audit", 2)
    assert (preview["matched"], preview["cancelled"], preview["dry_run"]) == (7, 0, True)
    assert (done["cancelled"], done["principal"], done["selected"]) == (7, "desk", "all, state")


async def test_operators_are_named_with_their_address(
    relay: Relay, program: ServerProgram, desk: str
) -> None:
    forged = (*bearer(desk), ("relay-peer", "key 192.0.2.7"))
    assert await refused(relay.admin.PauseQueue(PAUSE, metadata=forged)) == "NOT_FOUND"
    headers = {"Authorization": f"Bearer {desk}", "Relay-Peer": "key 192.0.2.7"}
    path = f"/api/v1/queues/{QUEUE}:pause"
    assert (await request(http_port(program), "POST", path, json={}, headers=headers)).status == 404
    rows = [(one["principal"], one["peer"], one["result"]) for one in await logged(program, "audit", 2)]
    assert rows == [("desk", "127.0.0.1", "NOT_FOUND")] * 2


async def test_calls_that_were_not_let_in(
    relay: Relay, program: ServerProgram, tokens: TokensFile, desk: str
) -> None:
    wrong: list[Metadata] = [(), bearer("nonsense"), bearer(desk[:-2] + "__")]
    for metadata in wrong:
        assert await refused(relay.admin.PauseQueue(PAUSE, metadata=metadata)) == "UNAUTHENTICATED"
    enqueue = queue_pb.EnqueueRequest(queue=QUEUE, job=spec())
    assert await refused(relay.queue.Enqueue(enqueue)) == "UNAUTHENTICATED"
    assert (await request(http_port(program), "GET", "/api/v1/stats")).status == 401
    foreign = {"Authorization": f"Bearer {desk}", "Origin": "https://evil.example"}
    path = f"/api/v1/queues/{QUEUE}:pause"
    assert (await request(http_port(program), "POST", path, json={}, headers=foreign)).status == 403
    lines = await logged(program, "refused", 6)
    rows = [(one["rpc"], one["result"]) for one in lines]
    assert Counter(rows) == {
        ("PauseQueue", "UNAUTHENTICATED"): 3,
        ("Enqueue", "UNAUTHENTICATED"): 1,
        ("Stats", "UNAUTHENTICATED"): 1,
        ("PauseQueue", "FOREIGN_ORIGIN"): 1,
    }
    assert all("principal" not in one and one["peer"] == "127.0.0.1" for one in lines)
    for _ in range(2 * REFUSED_PER_MINUTE_MAX):
        with suppress(grpc.aio.AioRpcError):
            await relay.queue.Enqueue(enqueue)
    assert await refused(relay.admin.PauseQueue(PAUSE, metadata=bearer(desk))) == "NOT_FOUND"
    await logged(program, "audit", 1)
    await logged(program, "refused", REFUSED_PER_MINUTE_MAX)  # nobody fills the log
    assert desk[:-2] not in program.said()


async def test_an_operator_over_the_limit_is_named(redis_url: str, tokens: TokensFile, desk: str) -> None:
    options = ("--redis-url", redis_url, "--tokens-file", str(tokens.path), "--principal-calls-per-s", "0.01")
    async with server_program(*options) as program, connected(program.address) as relay:
        for code in ("NOT_FOUND", "RESOURCE_EXHAUSTED"):
            assert await refused(relay.admin.PauseQueue(PAUSE, metadata=bearer(desk))) == code
        [one] = await logged(program, "refused", 1)
        assert (one["principal"], one["rpc"], one["result"]) == ("desk", "PauseQueue", "RESOURCE_EXHAUSTED")
