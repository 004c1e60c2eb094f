"""What these tests share: the drivers, and a server with its own store."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.cross_language.builds import drivers
from tests.support.relay import Relay, connected, server_program


@pytest.fixture(scope="session")
def languages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Language -> the command that starts its driver."""
    base = tmp_path_factory.getbasetemp()
    # The test processes of xdist have folders side by side in that of the run.
    run = base.parent if base.name.startswith("popen-") else base
    return drivers(run / "drivers")


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Relay]:
    """The client's side of a server on its embedded Redis."""
    async with (
        server_program("--data-dir", str(tmp_path / "data")) as program,
        connected(program.address) as relay,
    ):
        yield relay
