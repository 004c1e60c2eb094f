"""The pytest fixture `relay_server`: a real server on an embedded Redis, for the whole session."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

_READY = re.compile(r"relay-server ready grpc=(\S+)")
_START_S = 20.0
_STOP_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayServer:
    """A running server: `target` is what clients and workers connect to, `pid` its process."""

    target: str
    pid: int


@pytest.fixture(scope="session")
def relay_server() -> Iterator[RelayServer]:
    """A real relay-server with its own Redis and a fresh data folder. Tests keep apart by queue names of their own."""
    with start_server() as server:
        yield server


@contextmanager
def start_server(*options: str) -> Iterator[RelayServer]:
    """Starts `relay-server` on a free port, with further options; stops it at the end. RuntimeError if it fails."""
    with tempfile.TemporaryDirectory(prefix="relay-test-") as folder:
        command = [_program(), "--listen", "127.0.0.1:0", "--http", "off", "--data-dir", folder, *options]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            yield RelayServer(target=_wait_ready(process), pid=process.pid)
        finally:
            process.terminate()
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _program() -> str:
    beside = Path(sys.executable).with_name("relay-server")
    found = str(beside) if beside.exists() else shutil.which("relay-server")
    if found is None:
        raise RuntimeError(
            "relay-server is not installed here; run: pip install 'relay-broker[server]' "
            "(in a checkout: pip install ./clients/python '.[server]')"
        )
    return found


def _wait_ready(process: subprocess.Popen[str]) -> str:
    """Reads the output until the server says that it serves; a thread goes on reading, so that the pipe never fills."""
    target: list[str] = []
    last: deque[str] = deque(maxlen=20)
    ready = threading.Event()

    def read() -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                last.append(line)
                if not target and (match := _READY.search(line)):
                    target.append(match[1])
                    ready.set()
        ready.set()

    threading.Thread(target=read, name="relay-server-output", daemon=True).start()
    ready.wait(_START_S)
    if not target:
        process.kill()
        raise RuntimeError(f"relay-server did not start; it said:\n{''.join(last)}")
    return target[0]
