"""I18: nothing happens or leaks without permission, at the gRPC seam. Calls are made from the descriptors."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from relay.v1 import admin_service_pb2 as admin_pb
from relay.v1 import job_pb2 as jobs
from relay.v1 import queue_service_pb2 as pb
from relay_server.security.permissions import RULES
from tests.integration.authorisation import (
    CLOSED,
    CREDENTIALS,
    METHODS,
    MINE,
    OTHERS,
    Callers,
    outcome,
    request_for,
)
from tests.support.credentials import Metadata, TokensFile, bearer
from tests.support.relay import Refusal, Relay, eventually, read_refusal, refusal, relay_server, spec


@pytest.fixture
async def guarded(redis_url: str, tokens: TokensFile) -> AsyncIterator[Relay]:
    async with relay_server(redis_url, tokens_file=tokens.path) as relay:
        yield relay


async def ending(relay: Relay, method: str, request: Any, metadata: Metadata) -> Refusal | None:
    """How a call is refused; None when it is let in. A stream is let in when it gives a frame or is silent."""
    path: Any = relay.channel
    raw = {"request_serializer": type(request).SerializeToString}
    streams = METHODS[method].server_streaming
    call = (path.unary_stream if streams else path.unary_unary)(method, **raw)(
        request, metadata=metadata, timeout=5
    )
    try:
        if streams:
            await asyncio.wait_for(call.read(), 1.0)
        else:
            await call
    except TimeoutError:
        return None
    except grpc.aio.AioRpcError as error:
        return read_refusal(error)
    finally:
        call.cancel()
    return None


@pytest.mark.parametrize("credential", CREDENTIALS)
async def test_every_rpc_with_every_kind_of_credential(
    redis_url: str, tmp_path: Path, credential: str
) -> None:
    callers = Callers(TokensFile(tmp_path / "tokens.toml"))
    async with relay_server(redis_url, tokens_file=callers.file.path) as relay:
        for method, rule in RULES.items():
            token = callers.token(credential, rule.role.value)
            metadata = (
                (("authorization", token),) if credential == "malformed" else bearer(token) if token else ()
            )
            refused = await ending(relay, method, request_for(method, MINE), metadata)
            code = refused.code if refused is not None else grpc.StatusCode.OK
            expected = outcome(credential, method)
            if expected is None:
                assert code not in CLOSED, (method, refused)
            else:
                assert refused is not None, method
                assert (code, refused.reason) == (expected, expected.name), (method, refused)
        if credential != "right":
            assert await relay.app.engine.names.all() == []


async def test_health_is_open_and_reflection_wants_anybody_known(guarded: Relay, tokens: TokensFile) -> None:
    assert await guarded.health() == "SERVING"
    watch: Any = guarded.channel.unary_stream(
        "/grpc.health.v1.Health/Watch", request_serializer=health_pb2.HealthCheckRequest.SerializeToString
    )(health_pb2.HealthCheckRequest())
    await watch.read()
    watch.cancel()

    async def reflect(metadata: Metadata) -> Any:
        method: Any = guarded.channel.stream_stream(
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        )
        call = method(metadata=metadata, timeout=5)
        await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
        return await call.read()

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await reflect(())
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
    token = tokens.add("anybody", producer=OTHERS)
    await accepted(guarded, token)
    assert await reflect(bearer(token))


async def accepted(relay: Relay, token: str) -> None:
    """The server reads its file within seconds."""
    known = relay.app.credentials.tokens
    assert known is not None
    await eventually(lambda: known.authenticate(token) is not None, what="the file to be read again")


async def test_a_call_without_a_queue_shows_the_visible_queues(guarded: Relay, tokens: TokensFile) -> None:
    everything = tokens.add("all", producer="*", worker="*", viewer="*")
    token = tokens.add("some", viewer=MINE)
    await accepted(guarded, token)
    for queue in (MINE, OTHERS):
        request = pb.EnqueueBatchRequest(queue=queue, jobs=[spec()])
        await guarded.queue.EnqueueBatch(request, metadata=bearer(everything))
    both = pb.ClaimRequest(
        queues=[pb.QueueWeight(queue=queue, weight=1) for queue in (MINE, OTHERS)],
        worker_id="w",
        max_in_flight=1,
    )
    stream = guarded.queue.Claim(both, metadata=bearer(everything))
    await stream.read()
    for credentials, expected in ((bearer(everything), {MINE, OTHERS}), (bearer(token), {MINE})):
        stats = await guarded.admin.Stats(admin_pb.StatsRequest(), metadata=credentials)
        assert {one.queue for one in stats.queues} == expected
        listed = await guarded.admin.ListQueues(admin_pb.ListQueuesRequest(), metadata=credentials)
        assert {one.name for one in listed.queues} == expected
        watch: Any = guarded.admin.WatchStats(admin_pb.WatchStatsRequest(), metadata=credentials)
        assert {one.queue for one in (await watch.read()).queues} == expected
        watch.cancel()
        audit: Any = guarded.admin.Audit(admin_pb.AuditRequest(), metadata=credentials)
        assert {frame.queue async for frame in audit} == expected

        async def claimed(credentials: Metadata = credentials, expected: set[str] = expected) -> bool:
            found = await guarded.admin.ListWorkers(admin_pb.ListWorkersRequest(), metadata=credentials)
            return {one.queue for worker in found.workers for one in worker.queues} == expected

        await eventually(claimed, what="the worker in the list")
    stream.cancel()


async def test_a_revoked_token_ends_its_streams(guarded: Relay, tokens: TokensFile) -> None:
    token = tokens.add("w", worker="*")
    await accepted(guarded, token)
    request = pb.ClaimRequest(queues=[pb.QueueWeight(queue=MINE, weight=1)], worker_id="w", max_in_flight=1)
    stream = guarded.queue.Claim(request, metadata=bearer(token))
    await stream.read()
    tokens.revoke(token)
    ended = await asyncio.wait_for(refusal(stream), 30)
    assert ended.reason == "UNAUTHENTICATED"


async def test_a_revoked_token_ends_a_stream_that_nobody_reads(guarded: Relay, tokens: TokensFile) -> None:
    """What was written waits for the reader for ever; the stream's place and its jobs do not."""
    token = tokens.add("w", worker="*", producer="*")
    await accepted(guarded, token)
    for _ in range(4):
        large = pb.EnqueueRequest(queue=MINE, job=spec(b"x" * (900 << 10)))
        await guarded.queue.Enqueue(large, metadata=bearer(token))
    request = pb.ClaimRequest(queues=[pb.QueueWeight(queue=MINE, weight=1)], worker_id="w", max_in_flight=4)
    stream = guarded.queue.Claim(request, metadata=bearer(token))
    await eventually(lambda: len(guarded.app.streams) == 1, what="the stream")
    tokens.revoke(token)
    await eventually(lambda: not len(guarded.app.streams), within=30, what="the end of the stream")
    await eventually(lambda: not guarded.app.gate.streaming, what="a place for another stream")
    stream.cancel()


async def ending_of(stream: Any) -> Refusal:
    """The refusal that ends a stream with many frames."""
    while True:
        try:
            assert await stream.read() is not grpc.aio.EOF, "it ended well"
        except grpc.aio.AioRpcError as error:
            return read_refusal(error)


async def test_a_token_that_expires_ends_its_streams(guarded: Relay, tokens: TokensFile) -> None:
    lasting = tokens.add("l", viewer="*")
    token = tokens.add("v", viewer="*", expires_s=4)
    await accepted(guarded, token)
    streams = [
        guarded.admin.WatchStats(admin_pb.WatchStatsRequest(), metadata=bearer(one))
        for one in (token, lasting)
    ]
    for stream in streams:
        await stream.read()
    ended = await asyncio.wait_for(ending_of(streams[0]), 30)
    assert ended.reason == "UNAUTHENTICATED"
    await streams[1].read()
    streams[1].cancel()


async def test_limits_of_a_principal(redis_url: str, tokens: TokensFile) -> None:
    token = tokens.add("w", viewer="*")
    options: dict[str, Any] = {"principal_streams_max": 1, "principal_calls_per_s": 0.01}
    rates = tokens.add("rate", viewer="*")
    async with relay_server(redis_url, tokens_file=tokens.path, **options) as relay:
        info = admin_pb.GetServerInfoRequest()
        await relay.admin.GetServerInfo(info, metadata=bearer(rates))
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await relay.admin.GetServerInfo(info, metadata=bearer(rates))
        answer = read_refusal(refused.value)
        assert answer.reason == "OVERLOADED"
        assert "--principal-calls-per-s" in answer.text
        assert answer.retry_after_s
    async with relay_server(redis_url, tokens_file=tokens.path, principal_streams_max=1) as relay:
        first = relay.admin.WatchStats(admin_pb.WatchStatsRequest(), metadata=bearer(token))
        await first.read()
        second = relay.admin.WatchStats(admin_pb.WatchStatsRequest(), metadata=bearer(token))
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await second.read()
        assert "--principal-streams-max" in read_refusal(refused.value).text
        first.cancel()


async def test_canaries_reach_no_log_metric_or_error(
    redis_url: str, tokens: TokensFile, capfd: pytest.CaptureFixture[str]
) -> None:
    """What an operator did is logged with who did it; what was in jobs and credentials is not."""
    token = tokens.add("desk", producer="*", operator="*")
    wrong, payload = token[:-2] + "xX", "canary-payload-7d1f"
    errors: list[str] = []
    async with relay_server(redis_url, tokens_file=tokens.path, log_level="debug") as relay:
        job = jobs.JobSpec(type="t", payload=payload.encode(), headers={"canary-header-7d1f": payload})
        for credential in (token, wrong):
            for queue in (MINE, f"bad queue {MINE}"):
                request = pb.EnqueueRequest(queue=queue, job=job)
                try:
                    await relay.queue.Enqueue(request, metadata=bearer(credential))
                except grpc.aio.AioRpcError as error:
                    errors.append(f"{error.details()} {error.trailing_metadata()}")
            try:
                await relay.admin.PauseQueue(
                    admin_pb.PauseQueueRequest(queue=MINE), metadata=bearer(credential)
                )
            except grpc.aio.AioRpcError as error:
                errors.append(f"{error.details()} {error.trailing_metadata()}")
        metrics = "".join(relay.app.metrics.parts())
    said = "".join(capfd.readouterr())
    assert len(errors) == 4
    for where in (said, metrics, *errors):
        for canary in (token, wrong, token[-20:], payload, "canary-header"):
            assert canary not in where
    audits = [line for line in said.splitlines() if "PauseQueue" in line and "audit" in line.split()]
    assert len(audits) == 1, said
    assert "desk" in audits[0]
    assert MINE in audits[0]
