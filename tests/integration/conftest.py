"""What the tests through gRPC share: one Redis, and servers on it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import running_store
from tests.support.credentials import TokensFile
from tests.support.engine import Lab
from tests.support.operator_desk import Desk, open_desk
from tests.support.redis_binaries import valkey9
from tests.support.relay import Relay, relay_server
from tests.support.stores import Store

Start = Callable[..., Awaitable[Relay]]


@pytest.fixture
def relay_redis_binary() -> Path:
    """For the tests that start a server of their own."""
    return valkey9()


@pytest.fixture
def relay_redis(relay_redis_kind: str, _servers: dict[str, Store]) -> Store:
    """A real store that the tests of this process share, one after the other. What changes its CONFIG puts it back.

    One kind of server: what differs between the two is behind the engine, whose own tests run on both.
    """
    return running_store(relay_redis_kind, _servers)


@pytest.fixture
async def redis_url(relay_redis: Store) -> str:
    """The URL of an empty Redis."""
    client = relay_redis.raw_client()
    await client.execute_command("FLUSHALL")
    await client.aclose()
    return relay_redis.url


@pytest.fixture
def tokens(tmp_path: Path) -> TokensFile:
    """A tokens file, empty at first. A server asks for tokens when a test gives it the path."""
    return TokensFile(tmp_path / "tokens.toml")


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
