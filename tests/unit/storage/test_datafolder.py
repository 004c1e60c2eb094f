"""The data folder: private, one owner, and a socket path that fits."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from relay_server.storage.datafolder import claim_data_folder, default_data_dir
from relay_server.storage.errors import DataFolderInUse, DataFolderUnusable


def gone_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_default_follows_xdg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/somewhere")
    assert default_data_dir() == Path("/somewhere/relay")
    monkeypatch.setenv("XDG_STATE_HOME", "relative/is/ignored")
    monkeypatch.setenv("HOME", "/home/someone")
    assert default_data_dir() == Path("/home/someone/.local/state/relay")


async def test_private_and_free_again(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "data"
    for _ in range(2):
        folder = await claim_data_folder(path, wait_s=0)
        assert folder.redis_dir.stat().st_mode & 0o777 == 0o700
        assert folder.path == path
        folder.release()


async def test_a_second_owner_is_told_who_has_it(tmp_path: Path) -> None:
    folder = await claim_data_folder(tmp_path, wait_s=0)
    folder.note_redis(4242)
    try:
        with pytest.raises(DataFolderInUse) as refusal:
            await claim_data_folder(tmp_path, wait_s=0)
    finally:
        folder.release()
    for part in (str(tmp_path), f"process {os.getpid()}", "process 4242", "--data-dir"):
        assert part in str(refusal.value)


async def test_a_redis_left_behind_holds_the_lock_and_is_named(tmp_path: Path) -> None:
    folder = await claim_data_folder(tmp_path, wait_s=0)
    heir = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "import signal; signal.pause()"), pass_fds=(folder.lock_fd,)
    )
    try:
        (tmp_path / "relay.lock").write_text(json.dumps({"pid": gone_pid(), "redis_pid": heir.pid}))
        folder.release()
        with pytest.raises(DataFolderInUse, match=f"kill {heir.pid}"):
            await claim_data_folder(tmp_path, wait_s=0)
    finally:
        heir.kill()
        await heir.wait()
    (await claim_data_folder(tmp_path, wait_s=0)).release()


async def test_waits_for_an_owner_that_ends(tmp_path: Path) -> None:
    folder = await claim_data_folder(tmp_path, wait_s=0)
    # It exits when its input ends, and gives up its copy of the lock with that.
    heir = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "input()"), stdin=asyncio.subprocess.PIPE, pass_fds=(folder.lock_fd,)
    )
    folder.release()
    with pytest.raises(DataFolderInUse):
        await claim_data_folder(tmp_path, wait_s=0)
    assert heir.stdin is not None
    heir.stdin.write(b"\n")
    (await claim_data_folder(tmp_path, wait_s=30)).release()
    await heir.communicate()


async def test_a_path_too_long_for_a_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("d" * 100)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / ("r" * 100)))
    folder = await claim_data_folder(long, wait_s=0)
    place = folder.socket_path.parent
    assert len(os.fsencode(folder.socket_path)) <= 103
    assert place.stat().st_mode & 0o777 == 0o700
    folder.release()
    assert not place.exists()


async def test_a_short_folder_others_can_read_is_not_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("d" * 100)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    folder = await claim_data_folder(long, wait_s=0)
    place = folder.socket_path.parent
    folder.release()
    place.mkdir(mode=0o755)
    place.chmod(0o755)
    try:
        with pytest.raises(DataFolderUnusable, match="shorter --data-dir"):
            await claim_data_folder(long, wait_s=0)
    finally:
        place.rmdir()


async def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataFolderUnusable, match="--data-dir"):
        await claim_data_folder(tmp_path / "file", wait_s=0)
