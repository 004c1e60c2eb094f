"""What the fault tests that run a server in their own process share."""

import uuid
from collections.abc import AsyncIterator, Iterator

import pytest

from relay_conformance.proxy import Proxy, proxying
from tests.support.redis_binaries import valkey9
from tests.support.redis_server import RedisServer, running_server
from tests.support.relay import Relay, relay_server


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """A Redis of this test alone, which may do to it what it likes."""
    with running_server(valkey9()) as server:
        yield server


@pytest.fixture
async def redis_proxy(own_redis: RedisServer) -> AsyncIterator[Proxy]:
    """Between the server and its Redis."""
    async with proxying(own_redis.socket) as proxy:
        yield proxy


@pytest.fixture
async def relay(redis_proxy: Proxy) -> AsyncIterator[Relay]:
    """A server in this event loop, whose way to Redis can be broken."""
    async with relay_server(f"redis://{redis_proxy.address}") as relay:
        yield relay


@pytest.fixture
def queue() -> str:
    return f"q-{uuid.uuid4().hex[:12]}"
