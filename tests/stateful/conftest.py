"""One world of each kind for a test process; each example starts from an empty Redis."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stateful.machine import BODY_BYTES_MAX
from tests.stateful.world import World


@pytest.fixture(scope="session")
def _worlds() -> Iterator[dict[Path, World]]:
    worlds: dict[Path, World] = {}
    yield worlds
    for world in worlds.values():
        world.close()


@pytest.fixture
def world(redis_binary: Path, _worlds: dict[Path, World], monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr("relay_server.engine.transitions.CLAIMED_BODIES_BYTES_MAX", BODY_BYTES_MAX)
    if redis_binary not in _worlds:
        _worlds[redis_binary] = World(redis_binary)
    return _worlds[redis_binary]
