"""`relay-server healthcheck` beside a real server: in service, not in service, and gone."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from relay_server import healthcheck
from tests.integration.conftest import Start
from tests.support.redis_server import RedisServer
from tests.support.relay import Relay

Check = Callable[..., Awaitable[int]]


@pytest.fixture
async def server(another: Start, monkeypatch: pytest.MonkeyPatch) -> Relay:
    """A server whose address is where a container would have it: in RELAY_HTTP."""
    relay = await another(http="127.0.0.1:0")
    assert relay.app._http is not None
    monkeypatch.setenv("RELAY_HTTP", f"0.0.0.0:{relay.app._http.port}")
    return relay


async def check(*arguments: str) -> int:
    """Off the loop: the check blocks, and the server it asks lives here."""
    return await asyncio.to_thread(healthcheck.main, arguments)


async def test_in_service(server: Relay) -> None:
    assert await check() == 0
    assert await check("--live") == 0


@pytest.mark.one_server
async def test_ready_follows_redis_and_live_does_not(
    server: Relay, relay_redis: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    async with relay_redis.client() as client:
        before = await client.config_get("min-replicas-to-write")
        await client.config_set("min-replicas-to-write", 1)
        try:
            assert await check() == 1
            assert await check("--live") == 0
        finally:
            await client.config_set("min-replicas-to-write", before["min-replicas-to-write"] or 0)
    assert "Redis does not take writes" in capsys.readouterr().err


async def test_gone(capsys: pytest.CaptureFixture[str]) -> None:
    assert await check("--http", "127.0.0.1:1") == 1
    assert "no answer from 127.0.0.1:1" in capsys.readouterr().err


async def test_no_http(capsys: pytest.CaptureFixture[str]) -> None:
    assert await check("--http", "off") == 1
    assert "grpc.health.v1.Health" in capsys.readouterr().err
