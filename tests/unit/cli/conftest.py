"""Fixtures of the command line's tests: a scripted server, and the program run in this process."""

from collections.abc import Iterator

import pytest

from tests.support.cli import Relay, runner
from tests.unit.cli.scripts import Script


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def server(script: Script) -> Iterator[str]:
    with script.serving() as address:
        yield address


@pytest.fixture
def relay(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Relay:
    """Runs `relay ARGUMENT...` as the shell would."""
    return runner(monkeypatch, capsys)
