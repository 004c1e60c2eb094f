"""The embedded server: starts, keeps data, comes back, has one owner, and dies with it."""

import asyncio
import json
import os
import signal
import sys
import time
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from relay_server.storage import DataFolderInUse, Durability, Storage, StorageConfig, open_storage
from relay_server.storage import _guard as guard
from relay_server.storage.datafolder import claim_data_folder
from relay_server.storage.errors import EmbeddedRedisFailed
from tests.integration.storage.servers import until


def embedded_pid(storage: Storage) -> int:
    assert storage.embedded is not None
    pid = storage.embedded.pid
    assert pid is not None
    return pid


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def until_gone(pid: int) -> None:
    async def probe() -> bool:
        return gone(pid)

    await until(probe)


async def test_starts_durable_and_private_and_keeps_its_data(embedded_config: StorageConfig) -> None:
    storage = await open_storage(embedded_config)
    async with storage:
        assert storage.embedded is not None
        assert storage.report.durability is Durability.ALWAYS
        assert storage.report.warnings == ()
        assert storage.shown == f"embedded:{embedded_config.data_dir}"
        socket = storage.embedded.folder.socket_path
        assert socket.stat().st_mode & 0o777 == 0o700
        assert socket.parent.stat().st_mode & 0o777 == 0o700
        assert (await storage.primaries[0].client.info())["tcp_port"] == 0
        assert (await storage.health()).ok
        pid = embedded_pid(storage)
        await storage.primaries[0].client.set("kept", "yes")
    assert gone(pid)
    async with await open_storage(embedded_config) as storage:
        assert await storage.primaries[0].client.get("kept") == b"yes"


async def test_killed_it_is_restarted_with_every_acknowledged_write(embedded_config: StorageConfig) -> None:
    async with await open_storage(embedded_config) as storage, aclosing(storage.listen()) as listener:
        await listener.subscribe("c")
        assert await listener.get() == (b"c", b"")
        for round_ in range(3):
            written = await storage.primaries[0].client.incr("n")
            pid = embedded_pid(storage)
            os.kill(pid, signal.SIGKILL)

            async def health() -> bool:
                return (await storage.health()).ok

            await until(health)
            assert embedded_pid(storage) != pid
            assert await storage.primaries[0].client.get("n") == b"%d" % written == b"%d" % (round_ + 1)

        # The subscriber finds the new server too, subscribes again and says so.
        async def heard() -> object:
            return await listener.get()

        assert await until(heard) == (b"c", b"")
        await storage.primaries[0].client.spublish("c", "back")
        while (message := await until(heard)) == (b"c", b""):
            pass
        assert message == (b"c", b"back")


async def test_a_second_owner_is_refused(embedded_config: StorageConfig) -> None:
    async with await open_storage(embedded_config) as storage:
        with pytest.raises(DataFolderInUse) as refusal:
            await open_storage(embedded_config)
        for part in (f"process {os.getpid()}", f"process {embedded_pid(storage)}", "--data-dir"):
            assert part in str(refusal.value)
        assert (await storage.health()).ok


async def test_the_folder_stays_locked_while_its_redis_lives(embedded_config: StorageConfig) -> None:
    storage = await open_storage(embedded_config)
    assert storage.embedded is not None
    # As if only this process' hold on the folder were gone.
    with Path(os.devnull).open() as null:
        os.dup2(null.fileno(), storage.embedded.folder.lock_fd)
    with pytest.raises(DataFolderInUse, match=f"process {embedded_pid(storage)}"):
        await open_storage(embedded_config)
    await storage.close()
    async with await open_storage(embedded_config):
        pass


OWNER = """
import sys
from pathlib import Path
import uvloop
from relay_server.storage import StorageConfig, open_storage

async def main():
    storage = await open_storage(StorageConfig(data_dir=Path(sys.argv[1])))
    await storage.primaries[0].client.set("written by", "the owner")
    print("pid", storage.embedded.pid, flush=True)
    sys.stdin.readline()

uvloop.run(main())
"""


async def test_it_dies_with_its_owner(embedded_config: StorageConfig) -> None:
    owner = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", OWNER, str(embedded_config.data_dir)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert owner.stdout is not None
        words = b""
        while not words.startswith(b"pid "):
            words = await owner.stdout.readline()
            assert words
        redis_pid = int(words.split()[1])
        assert not gone(redis_pid)
    finally:
        owner.kill()
        await owner.communicate()
    await until_gone(redis_pid)
    async with await open_storage(replace(embedded_config, embedded_lock_wait_s=10)) as storage:
        assert await storage.primaries[0].client.get("written by") == b"the owner"


PARENT = """
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-I", "-S", sys.argv[1], "watch", str(os.getpid()),
                          sys.executable, "-c", "import os, signal; print(os.getpid(), flush=True); signal.pause()"])
sys.stdin.readline()
"""


async def test_the_watching_guard_ends_the_program_with_its_parent() -> None:
    """The way of systems whose kernel cannot do it."""
    parent = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", PARENT, str(guard.__file__)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert parent.stdout is not None
    program_pid = int(await parent.stdout.readline())
    assert not gone(program_pid)
    parent.kill()
    await until_gone(program_pid)
    await parent.communicate()


async def test_a_long_data_folder(embedded_config: StorageConfig, tmp_path: Path) -> None:
    long = replace(embedded_config, data_dir=tmp_path / ("long and with spaces " * 8) / "d")
    async with await open_storage(long) as storage:
        await storage.primaries[0].client.set("kept", "yes")
    async with await open_storage(long) as storage:
        assert await storage.primaries[0].client.get("kept") == b"yes"


async def test_a_cut_last_record_is_dropped_not_fatal(embedded_config: StorageConfig) -> None:
    async with await open_storage(embedded_config) as storage:
        await storage.primaries[0].client.set("kept", "yes")
        assert storage.embedded is not None
        folder = storage.embedded.folder.redis_dir
    (incremental,) = folder.glob("appendonlydir/*.incr.aof")
    with incremental.open("ab") as file:
        file.write(b"*3\r\n$3\r\nSET\r\n$4\r\nhal")
    async with await open_storage(embedded_config) as storage:
        assert await storage.primaries[0].client.get("kept") == b"yes"


async def test_a_start_that_fails_quotes_the_log_and_frees_the_folder(embedded_config: StorageConfig) -> None:
    assert embedded_config.data_dir is not None
    broken = embedded_config.data_dir / "redis" / "appendonlydir"
    broken.mkdir(parents=True)
    manifest = broken / "appendonly.aof.manifest"
    manifest.write_text("this is no manifest\n")
    with pytest.raises(EmbeddedRedisFailed) as failure:
        await open_storage(embedded_config)
    for part in ("exit code 1", "this is no manifest", "redis.log", "--data-dir"):
        assert part in str(failure.value)
    manifest.unlink()
    async with await open_storage(embedded_config) as storage:
        assert (await storage.health()).ok


async def test_restarts_that_fail_are_tried_again(embedded_config: StorageConfig) -> None:
    config = replace(embedded_config, embedded_restart_backoff_s=0.01)
    async with await open_storage(config) as storage:
        await storage.primaries[0].client.set("kept", "yes")
        assert storage.embedded is not None
        manifest = storage.embedded.folder.redis_dir / "appendonlydir" / "appendonly.aof.manifest"
        good = manifest.read_bytes()
        manifest.write_text("this is no manifest\n")
        os.kill(embedded_pid(storage), signal.SIGKILL)
        log = storage.embedded.folder.log_path

        async def failed_twice() -> bool:
            return log.read_text().count("this is no manifest") >= 2

        await until(failed_twice)
        assert not (await storage.health()).ok
        manifest.write_bytes(good)

        async def kept() -> object:
            return await storage.primaries[0].client.get("kept")

        assert await until(kept) == b"yes"


async def test_a_frozen_server_is_killed_at_the_end(embedded_config: StorageConfig) -> None:
    storage = await open_storage(replace(embedded_config, embedded_stop_timeout_s=0.2))
    pid = embedded_pid(storage)
    os.kill(pid, signal.SIGSTOP)
    await storage.close()
    assert gone(pid)


@pytest.fixture
def mute_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of Redis a program that runs and never answers."""
    mute = tmp_path / "mute"
    mute.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Redis server v=7.0.0" || exec sleep 600\n')
    mute.chmod(0o755)
    monkeypatch.setenv("RELAY_REDIS_BINARY", str(mute))


@pytest.mark.usefixtures("mute_server")
async def test_a_start_given_up_half_way_leaves_nothing(tmp_path: Path) -> None:
    config = StorageConfig(data_dir=tmp_path / "data", embedded_lock_wait_s=0)
    opening = asyncio.create_task(open_storage(config))
    lock = tmp_path / "data" / "relay.lock"

    async def noted() -> object:
        assert not opening.done()
        return lock.exists() and json.loads(lock.read_text() or "{}").get("redis_pid")

    pid = await until(noted)
    assert isinstance(pid, int)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert gone(pid)
    (await claim_data_folder(tmp_path / "data", wait_s=0)).release()


@pytest.mark.usefixtures("mute_server")
async def test_a_server_that_never_answers_is_given_up(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedRedisFailed, match=r"not ready \(PING: nothing\)"):
        await open_storage(StorageConfig(data_dir=tmp_path / "data", embedded_start_timeout_s=0.1))


async def test_it_is_up_within_a_second(embedded_config: StorageConfig) -> None:
    """The best of three, because the machine may be busy."""
    took_s = []
    for _ in range(3):
        began = time.monotonic()
        async with await open_storage(embedded_config):
            took_s.append(time.monotonic() - began)
    assert min(took_s) < 1
