"""The demo's child processes: started with a log file each, watched, and ended in the right order."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from relay_cli.errors import CliError

INSTALL_LINE: Final = (
    "pip install 'relay-broker[server]' (in a checkout: pip install ./clients/python '.[server]')"
)
_CHILD: Final = Path(__file__).with_name("_child.py")
# What only the [server] extra brings; looked for, never imported.
_SERVER_NEEDS: Final = ("redis", "pydantic_settings", "starlette", "uvicorn", "grpc_health")
_READY: Final = "relay-server ready "
_READY_S: Final = 30.0
_STOP_S: Final = 15.0
_POLL_S: Final = 0.02
_TAIL_LINES: Final = 15


@dataclass(frozen=True, slots=True)
class Child:
    """A started program and its log file."""

    name: str
    process: "subprocess.Popen[bytes]"
    log: Path

    def tail(self) -> str:
        """The last lines of its log, for an error message."""
        try:
            lines = self.log.read_text("utf-8", "replace").splitlines()
        except OSError:
            return ""
        return "\n".join(f"  {line}" for line in lines[-_TAIL_LINES:])


def _complaint(child: Child) -> str:
    """The one line in which our programs say why they cannot run; else the last lines of its log.

    Without the variables it offers: the demo passes none on, only its options, which have the same names.
    """
    head = f"{child.name}: "
    lines = [line for line in child.log.read_text("utf-8", "replace").splitlines() if line.startswith(head)]
    return (
        re.sub(r" \(RELAY_[A-Z_]+\)", "", lines[-1].removeprefix(head))
        if lines
        else f"its log ends with\n{child.tail()}"
    )


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a started server listens; `http` is empty when it has no HTTP listener."""

    grpc: str
    http: str


def check_server_installed() -> None:
    """CliError with the exact install line when the server's libraries are not there."""
    missing = [name for name in _SERVER_NEEDS if importlib.util.find_spec(name) is None]
    if missing:
        raise CliError(
            f"a server cannot run here, because {', '.join(missing)} is not installed. Install what it needs:\n"
            f"  {INSTALL_LINE}\nTo load a server that runs elsewhere: relay demo --server HOST:PORT"
        )


def start(name: str, program: str, arguments: Sequence[str], folder: Path) -> Child:
    """Starts one of our programs out of reach of the terminal's Ctrl-C: the demo ends its children in order."""
    log = folder / f"{name}.log"
    command = [sys.executable, str(_CHILD), str(os.getpid()), _find(program), *arguments]
    # A RELAY_ variable of the user's, such as a Redis URL, is not meant for a demo.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("RELAY_")}
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment,
            start_new_session=True,
        )
    return Child(name, process, log)


def _find(program: str) -> str:
    beside = Path(sysconfig.get_path("scripts")) / program
    found = str(beside) if beside.exists() else shutil.which(program)
    if found is None:
        raise CliError(f"the program {program} is not installed beside this one: {INSTALL_LINE}")
    return found


def wait_ready(server: Child) -> Addresses:
    """Waits for the server's line. CliError with the end of its log when it ended or took over 30 s."""
    deadline = time.monotonic() + _READY_S
    while True:
        code = server.process.poll()
        for line in server.log.read_text("utf-8", "replace").splitlines():
            if line.startswith(_READY):
                facts = dict(part.split("=", 1) for part in line.split() if "=" in part)
                http = facts.get("http", "")
                return Addresses(facts["grpc"], "" if http == "off" else http)
        if code is not None:
            raise CliError(f"the server could not start: {_complaint(server)}")
        if time.monotonic() > deadline:
            raise CliError(f"relay-server was not ready after {_READY_S:.0f} s:\n{server.tail()}")
        time.sleep(_POLL_S)


def stop(children: Sequence[Child]) -> None:
    """SIGTERM to all, SIGKILL to those that take too long; returns when none is left."""
    for child in children:
        if child.process.poll() is None:
            child.process.terminate()
    deadline = time.monotonic() + _STOP_S
    for child in children:
        try:
            child.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.process.kill()
            child.process.wait()
