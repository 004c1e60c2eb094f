"""A cluster of a test's own, which it may hurt."""

from collections.abc import Iterator

import pytest

from tests.support.redis_topologies import RedisCluster, start_cluster
from tests.support.stores import BINARIES


@pytest.fixture(params=list(BINARIES))
def cluster(request: pytest.FixtureRequest) -> Iterator[RedisCluster]:
    cluster = start_cluster(BINARIES[request.param]())
    yield cluster
    cluster.kill()
