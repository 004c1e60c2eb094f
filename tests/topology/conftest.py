"""A cluster of a test's own, which it may hurt."""

from collections.abc import Iterator

import pytest

from tests.support.redis_cluster import RedisCluster, start_cluster
from tests.support.stores import binary_of


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """On the clusters of --stores; without any there, on one kind, because starting them is what takes the time."""
    if "cluster_kind" in metafunc.fixturenames:
        kinds = [
            kind for kind in metafunc.config.getoption("stores").split(",") if kind.startswith("cluster-")
        ]
        metafunc.parametrize("cluster_kind", kinds or ["cluster-redis7"])


@pytest.fixture
def cluster(cluster_kind: str) -> Iterator[RedisCluster]:
    cluster = start_cluster(binary_of(cluster_kind))
    yield cluster
    cluster.kill()
