"""Fixtures of the SDK's tests: a scripted server on a free port."""

from collections.abc import Iterator

import pytest

from tests.unit.client.fake_server import FakeQueue, fake_queue, serve


@pytest.fixture
def queue() -> FakeQueue:
    return fake_queue()


@pytest.fixture
def server(queue: FakeQueue) -> Iterator[str]:
    """Address of a server that runs `queue`."""
    with serve(queue) as address:
        yield address
