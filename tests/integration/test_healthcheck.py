"""`relay-server healthcheck` beside a real server: in service, not in service, and gone."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable

import pytest

from relay_server import healthcheck
from relay_server.storage import Health
from relay_server.storage.report import Trouble
from tests.integration.conftest import Start
from tests.support.redis_server import RedisServer
from tests.support.relay import Relay, eventually

Check = Callable[..., Awaitable[int]]


@pytest.fixture
async def server(another: Start, monkeypatch: pytest.MonkeyPatch) -> Relay:
    """A server whose address is where a container would have it: in RELAY_HTTP."""
    relay = await another(http="127.0.0.1:0")
    monkeypatch.setenv("RELAY_HTTP", f"0.0.0.0:{relay.http_port}")
    return relay


async def check(*arguments: str) -> int:
    """Off the loop: the check blocks, and the server it asks lives here."""
    return await asyncio.to_thread(healthcheck.main, arguments)


async def not_ready() -> bool:
    return await check() == 1


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
            await eventually(not_ready, what="a look at the store that finds it read-only")
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


async def test_a_draining_server_never_says_again_that_it_serves(
    another: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever becomes of Redis meanwhile: a balancer would send it calls that it refuses."""
    app = (relay := await another()).app
    reports: list[bool] = []
    looks = itertools.cycle([Health(trouble=Trouble.UNREACHABLE), Health()])
    set_serving, stop_dispatchers = app.grpc.set_serving, app.dispatchers.stop

    async def note(*, serving: bool) -> None:
        reports.append(serving)
        await set_serving(serving=serving)

    async def look() -> Health:
        return next(looks)

    async def stop_late() -> None:
        before = len(reports)
        await asyncio.sleep(0.3)
        assert reports[before:] == []
        await stop_dispatchers()

    monkeypatch.setattr("relay_server.app._HEALTH_EVERY_S", 0.01)
    monkeypatch.setattr(app.grpc, "set_serving", note)
    monkeypatch.setattr(app.dispatchers, "stop", stop_late)
    monkeypatch.setattr(app.storage, "health", look)
    await eventually(lambda: len(reports) > 4, what="a health that comes and goes")
    assert relay.stop is not None
    await relay.stop()
    assert reports[-1] is False
