"""Files that are read again: what counts as a change, also one during start-up."""

import asyncio
from pathlib import Path

import pytest

from relay_server.security.reload import stamp_of, watch
from relay_server.security.tokens import Tokens
from tests.support.credentials import TokensFile
from tests.support.relay import eventually


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_text("one")
    return path


def test_contents_names_and_permissions_are_changes(file: Path) -> None:
    seen = {stamp_of([file])}
    file.write_text("three")
    seen.add(stamp_of([file]))
    file.chmod(0o600 if file.stat().st_mode & 0o077 else 0o644)
    seen.add(stamp_of([file]))
    new = file.with_suffix(".new")
    new.write_text("three")
    new.replace(file)
    seen.add(stamp_of([file]))
    file.unlink()
    seen.add(stamp_of([file]))
    assert len(seen) == 5


async def test_a_change_before_the_watch_began_is_noticed(tmp_path: Path) -> None:
    file = TokensFile(tmp_path / "tokens.toml")
    tokens = Tokens(file.path)
    token = file.add("late", viewer="*")  # while the server starts
    watching = asyncio.create_task(watch([file.path], tokens.reload, tokens.stamp, every_s=0.001))
    await eventually(lambda: tokens.authenticate(token) is not None, what="the new token")
    watching.cancel()
