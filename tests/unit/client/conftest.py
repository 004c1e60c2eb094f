"""Fixtures of the SDK's tests: a scripted server on a free port."""

from collections.abc import Iterator

import pytest

from tests.unit.client.scripts import QueueScript


@pytest.fixture
def queue() -> QueueScript:
    return QueueScript()


@pytest.fixture
def server(queue: QueueScript) -> Iterator[str]:
    """Address of a server that runs `queue`."""
    with queue.serving() as address:
        yield address
