"""What the tests through gRPC share: one Redis, and servers on it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.engine import Lab
from tests.support.operator_desk import Desk, open_desk
from tests.support.redis_binaries import valkey9
from tests.support.redis_server import RedisServer, start_server
from tests.support.relay import Relay, relay_server

Start = Callable[..., Awaitable[Relay]]


@pytest.fixture
def relay_redis_binary() -> Path:
    """One kind of server: what differs between the two is behind the engine, whose own tests run on both."""
    return valkey9()


@pytest.fixture
def relay_redis(relay_redis_binary: Path, _servers: dict[str, RedisServer]) -> RedisServer:
    """A real Redis that the tests of this process share, one after the other. What changes its CONFIG puts it back."""
    name = str(relay_redis_binary)
    server = _servers.get(name)
    if server is None or server.process.poll() is not None:
        server = _servers[name] = start_server(relay_redis_binary)
    return server


@pytest.fixture
async def redis_url(relay_redis: RedisServer) -> str:
    """The URL of an empty Redis."""
    async with relay_redis.client() as client:
        await client.flushall()
    return f"unix://{relay_redis.socket}"


@pytest.fixture
async def relay(redis_url: str) -> AsyncIterator[Relay]:
    """A server in this event loop."""
    async with relay_server(redis_url) as relay:
        yield relay


@pytest.fixture
async def another(redis_url: str) -> AsyncIterator[Start]:
    """Starts a further server on the same Redis; `config` fields go through."""
    async with AsyncExitStack() as stack:

        async def start(**config: Any) -> Relay:
            return await stack.enter_async_context(relay_server(redis_url, **config))

        yield start


@pytest.fixture
async def desk(lab: Lab) -> AsyncIterator[Desk]:
    """An operator's view of a lab."""
    async with open_desk(lab) as desk:
        yield desk
