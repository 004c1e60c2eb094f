"""Every test here runs on the oldest supported Redis and on the Valkey that Relay ships with."""

from pathlib import Path

import pytest

from relay_server.storage import StorageConfig
from tests.support.redis_binaries import redis7, valkey9


@pytest.fixture(params=[redis7, valkey9], ids=["redis7", "valkey9"])
def binary(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param()
    return path


@pytest.fixture
def embedded_config(binary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StorageConfig:
    monkeypatch.setenv("RELAY_REDIS_BINARY", str(binary))
    return StorageConfig(data_dir=tmp_path / "data", embedded_lock_wait_s=0)
