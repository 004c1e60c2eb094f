"""Fixtures for every suite that runs the engine: both Redis servers, and an engine whose time the test owns."""

import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from relay_server.engine import Engine, Operations
from tests.support.engine import Clock, Lab
from tests.support.redis_binaries import redis7, valkey9
from tests.support.redis_server import RedisServer, start_server

_BINARIES: dict[str, Callable[[], Path]] = {"redis7": redis7, "valkey9": valkey9}


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "damages: the test breaks stored data on purpose; the checks of invariants after it are left out",
    )
    config.addinivalue_line(
        "markers", "covers(script, *words): the test makes the script answer each of these words"
    )


@pytest.fixture(params=list(_BINARIES))
def redis_kind(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


@pytest.fixture
def redis_binary(redis_kind: str) -> Path:
    return _BINARIES[redis_kind]()


@pytest.fixture(scope="session")
def _servers() -> Iterator[dict[str, RedisServer]]:
    """One server of each kind for a test process, started when a test first asks."""
    servers: dict[str, RedisServer] = {}
    yield servers
    for server in servers.values():
        server.kill()
        shutil.rmtree(server.folder, ignore_errors=True)


@pytest.fixture
def redis_server(redis_kind: str, redis_binary: Path, _servers: dict[str, RedisServer]) -> RedisServer:
    """A real server, shared by the tests of one process, one after the other. What changes its CONFIG puts it back."""
    server = _servers.get(redis_kind)
    if server is None or server.process.poll() is not None:
        server = _servers[redis_kind] = start_server(redis_binary)
    return server


@pytest.fixture
async def lab(redis_server: RedisServer, request: pytest.FixtureRequest) -> AsyncIterator[Lab]:
    """An engine with everything around it. After the test every queue must pass the audit and drain to nothing."""
    lab = Lab(redis_server)
    await lab.command("FLUSHALL")
    await lab.engine.scripts.load()
    try:
        yield lab
        for mark in request.node.iter_markers("covers"):
            script, *words = mark.args
            answered = {part for reply in lab.heard.get(script, []) for part in reply}
            missing = [word for word in words if word.encode() not in answered]
            assert not missing, f"{script} never answered {missing} in this test"
        if request.node.get_closest_marker("damages") is None:
            await lab.check()
            await lab.check_drained()
    finally:
        await lab.aclose()


@pytest.fixture
def engine(lab: Lab) -> Engine:
    return lab.engine


@pytest.fixture
def ops(lab: Lab) -> Operations:
    return lab.ops


@pytest.fixture
def clock(lab: Lab) -> Clock:
    return lab.clock


@pytest.fixture
def queue(lab: Lab) -> str:
    return lab.queue
