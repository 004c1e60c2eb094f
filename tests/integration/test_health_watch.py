"""Anybody may watch the health, and nobody can make the server keep much by it."""

from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from relay_server import limits
from tests.support.relay import Relay, eventually, read_refusal, refusal


@pytest.fixture
def stub(relay: Relay) -> Any:
    return health_pb2_grpc.HealthStub(relay.channel)


async def test_watching_is_limited(relay: Relay, stub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HEALTH_WATCHES_MAX", 2)
    watches = [stub.Watch(health_pb2.HealthCheckRequest(service=name)) for name in ("", "unknown")]
    answer = [(await watch.read()).status for watch in watches]
    kinds = health_pb2.HealthCheckResponse
    assert answer == [kinds.SERVING, kinds.SERVICE_UNKNOWN]
    refused = await refusal(stub.Watch(health_pb2.HealthCheckRequest()))
    assert (refused.code, refused.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
    assert await relay.health() == "SERVING", "asking is not watching"
    watches[1].cancel()

    async def taken() -> bool:
        again = stub.Watch(health_pb2.HealthCheckRequest())
        try:
            return bool((await again.read()).status)
        except grpc.aio.AioRpcError:
            return False
        finally:
            again.cancel()

    await eventually(taken, what="room for another")
    watches[0].cancel()


async def test_a_long_name_is_refused(stub: Any) -> None:
    name = "x" * (limits.HEALTH_SERVICE_CHARS_MAX + 1)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.Watch(health_pb2.HealthCheckRequest(service=name)).read()
    answer = read_refusal(refused.value)
    assert (answer.code, answer.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
