"""Files that are read again: what counts as a change, also one during start-up, and that none is ever forgotten."""

import asyncio
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from relay_server.security.reload import Follower, stamp_of
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


async def test_a_change_before_it_began_is_noticed(tmp_path: Path) -> None:
    file = TokensFile(tmp_path / "tokens.toml")
    tokens = Tokens(file.path)
    token = file.add("late", viewer="*")  # while the server starts
    follower = Follower("tokens_file", [file.path], tokens.reload, tokens.stamp)
    following = asyncio.create_task(follower.run(every_s=0.001))
    await eventually(lambda: tokens.authenticate(token) is not None, what="the new token")
    following.cancel()


@contextmanager
def no_more_files() -> Iterator[None]:
    """The table of open files is full, as under a flood of connections."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


async def test_a_revocation_is_taken_once_files_can_be_opened_again(tmp_path: Path) -> None:
    file = TokensFile(tmp_path / "tokens.toml")
    token = file.add("shop", viewer="*")
    tokens, failures = Tokens(file.path), list[str]()
    follower = Follower("tokens_file", [file.path], tokens.reload, tokens.stamp, failed=failures.append)
    file.revoke(token)
    with no_more_files():
        await follower.look()
        await follower.look()
    assert failures == ["tokens_file"] * 2
    assert follower.failing_s > 0
    assert tokens.authenticate(token) is not None
    await follower.look()
    assert tokens.authenticate(token) is None
    assert (follower.failing_s, len(failures)) == (0.0, 2)


@pytest.mark.parametrize("wrong", ["[[token]]\nid = 1", "=", "a = " + "[" * 100_000, "\0"])
async def test_wrong_content_is_tried_until_it_is_right(
    tmp_path: Path, wrong: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = TokensFile(tmp_path / "tokens.toml")
    token = file.add("shop", viewer="*")
    tokens = Tokens(file.path)
    follower = Follower("tokens_file", [file.path], tokens.reload, tokens.stamp)
    file.path.write_text(wrong)
    for _ in range(3):
        await follower.look()
    assert follower.failing_s > 0
    assert tokens.authenticate(token) is not None  # a typo ends nobody's work
    assert capsys.readouterr().out.count("tokens_file_refused") == 1  # nor fills the log
    file.revoke(token)
    await follower.look()
    assert tokens.authenticate(token) is None
    assert follower.failing_s == 0.0


async def test_a_file_that_is_away_is_a_change_that_was_not_read(tmp_path: Path) -> None:
    file = TokensFile(tmp_path / "tokens.toml")
    tokens = Tokens(file.path)
    follower = Follower("tokens_file", [file.path], tokens.reload, tokens.stamp)
    away = file.path.rename(tmp_path / "away")
    await follower.look()
    assert follower.failing_s > 0
    away.rename(file.path)
    await follower.look()
    assert follower.failing_s == 0.0


async def test_a_change_while_it_is_read_is_read_too(file: Path) -> None:
    found = []

    async def take() -> None:
        found.append(file.read_text())
        if len(found) == 1:
            file.write_text("three")

    follower = Follower("file", [file], take, stamp_of([file]))
    file.write_text("two.")
    for _ in range(3):
        await follower.look()
    assert found == ["two.", "three"]


async def test_changes_in_quick_succession_are_gathered(file: Path) -> None:
    found = []

    async def take() -> None:
        found.append(file.read_text())

    follower = Follower("file", [file], take, stamp_of([file]), apart_s=0.2)
    for n in range(5):
        file.write_text("x" * n)
        await follower.look()
    assert found == [""]
    following = asyncio.create_task(follower.run(every_s=0.001))
    await eventually(lambda: found == ["", "xxxx"], what="the last of them")
    following.cancel()
