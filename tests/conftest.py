"""Fixtures for every suite that runs the engine: both Redis servers, and an engine whose time the test owns."""

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from relay_server.engine import Engine, Operations, StoreFormat
from tests.support.engine import Clock, Lab
from tests.support.stores import SINGLE, TOPOLOGIES, Store, binary_of, start_store


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--stores",
        default=",".join(SINGLE),
        help=f"what the suites of engine and server run on: {', '.join((*SINGLE, *TOPOLOGIES))}",
    )


def pytest_configure(config: pytest.Config) -> None:
    for mark in (
        "damages: the test breaks stored data on purpose; the checks of invariants after it are left out",
        "covers(script, *words): the test makes the script answer each of these words",
        "every_server: a test through gRPC runs on each kind of server; others do on one",
        "topologies: the test always runs on a cluster and on Sentinels, and on nothing else",
        "one_server: the test does something to the one server there is, and is left out on clusters and Sentinels",
    ):
        config.addinivalue_line("markers", mark)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each test of the engine runs on every chosen store; one through gRPC on one server and all topologies chosen."""
    chosen = metafunc.config.getoption("stores").split(",")
    if metafunc.definition.get_closest_marker("one_server"):
        chosen = [kind for kind in chosen if kind in SINGLE]
    if metafunc.definition.get_closest_marker("topologies"):
        chosen = [kind for kind in chosen if kind in TOPOLOGIES] or ["cluster-redis7", "sentinel-valkey9"]
    own = {mark.args[0] for mark in metafunc.definition.iter_markers("parametrize")}
    if "redis_kind" in metafunc.fixturenames and "redis_kind" not in own:
        metafunc.parametrize("redis_kind", chosen)
    if "relay_redis_kind" in metafunc.fixturenames:
        if not metafunc.definition.get_closest_marker("every_server"):
            chosen = [kind for kind in chosen if kind not in SINGLE or kind == SINGLE[-1]]
        metafunc.parametrize("relay_redis_kind", chosen)


@pytest.fixture
def redis_binary(redis_kind: str) -> Path:
    return binary_of(redis_kind)


@pytest.fixture(scope="session")
def _servers() -> Iterator[dict[str, Store]]:
    """One store of each kind for a test process, started when a test first asks."""
    servers: dict[str, Store] = {}
    yield servers
    for server in servers.values():
        server.kill()
        shutil.rmtree(server.folder, ignore_errors=True)


@pytest.fixture
def redis_server(redis_kind: str, _servers: dict[str, Store]) -> Store:
    """A real store, shared by the tests of one process, one after the other. What changes its CONFIG puts it back."""
    return running_store(redis_kind, _servers)


def running_store(kind: str, servers: dict[str, Store]) -> Store:
    """The process's store of this kind; a new one when it died."""
    server = servers.get(kind)
    if server is None or not server.alive:
        server = servers[kind] = start_store(kind)
    return server


@pytest.fixture
async def lab(redis_server: Store, request: pytest.FixtureRequest) -> AsyncIterator[Lab]:
    """An engine with everything around it. After the test every queue must pass the audit and drain to nothing."""
    lab = Lab(redis_server)
    await lab.link.router.refresh()
    await lab.command("FLUSHALL")
    await StoreFormat(lab.link).read_or_set()  # as a server does before anything else
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
