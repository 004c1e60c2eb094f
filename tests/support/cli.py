"""Runs the program `relay` for tests, in their process or as a program, and tells how it ended."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from relay_cli import main


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run of `relay` ended."""

    code: int
    out: str
    err: str

    @property
    def values(self) -> list[Any]:
        """The lines of stdout as JSON."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def value(self) -> Any:
        """The only line of stdout as JSON, of a run that went well."""
        assert self.code == 0, self.err
        (value,) = self.values
        return value


Relay = Callable[..., Ended]


def runner(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Relay:
    """A function that runs `relay ARGUMENT...` in this process, with no RELAY_ variable but those a test sets later."""
    for name in [name for name in os.environ if name.startswith("RELAY_")]:
        monkeypatch.delenv(name)

    def run(*arguments: str) -> Ended:
        monkeypatch.setattr("sys.argv", ["relay", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main.main()
        out, err = capsys.readouterr()
        code = ended.value.code
        return Ended(code if isinstance(code, int) else 0, out, err)

    return run


def start_relay(*arguments: str, **environment: str) -> "subprocess.Popen[str]":
    """`relay ARGUMENT...` as a program, its output in pipes."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RELAY_")}
    return subprocess.Popen(
        [sys.executable, "-m", "relay_cli.main", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**kept, **environment},
    )


def finish(process: "subprocess.Popen[str]", *, within: float = 60) -> Ended:
    """Waits for the program's end; it is killed when that takes too long."""
    try:
        out, err = process.communicate(timeout=within)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    return Ended(process.returncode, out, err)
