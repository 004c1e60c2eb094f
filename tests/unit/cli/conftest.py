"""Fixtures of the command line's tests: a scripted server, and the program run in this process."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from relay_cli import main
from tests.unit.cli.fake_server import Script, serve


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


Relay = Callable[..., Ended]


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def server(script: Script) -> Iterator[str]:
    with serve(script) as address:
        yield address


@pytest.fixture
def relay(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Relay:
    """Runs `relay ARGUMENT...` as the shell would."""
    for name in ("RELAY_SERVER", "RELAY_OUTPUT", "RELAY_TOKEN", "RELAY_TLS", "RELAY_CA_FILE"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: str) -> Ended:
        monkeypatch.setattr("sys.argv", ["relay", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main.main()
        out, err = capsys.readouterr()
        code = ended.value.code
        return Ended(code if isinstance(code, int) else 0, out, err)

    return run
