"""An embedded store after a power cut or with damaged files: what starts by itself, what says what to do, `repair`."""

import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from relay.v1 import queue_service_pb2 as pb
from relay.v1.admin_service_pb2 import StatsRequest
from relay_server.cli import EXIT_STORE_DAMAGED
from relay_server.storage import StorageConfig, StoreDamaged, aof, open_storage
from tests.integration.storage.servers import until
from tests.support.relay import ServerProgram, connected, eventually, server_program, spec

Start = Callable[[], AbstractAsyncContextManager[ServerProgram]]
# What a power cut leaves of a script's effects that were being written: it was not acknowledged.
TORN = b"*1\r\n$5\r\nMULTI\r\n*4\r\n$4\r\nHSET\r\n$13\r\n{orders}:jobs"


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def start(data_dir: Path, binary: Path) -> Start:
    return lambda: server_program("--data-dir", str(data_dir), env={"RELAY_REDIS_BINARY": str(binary)})


def files_of(data_dir: Path) -> list[Path]:
    """The incremental files, oldest first."""
    return aof.manifest_of(data_dir / "redis" / aof.FOLDER)[1]


def add(file: Path, content: bytes) -> None:
    with file.open("ab") as stream:
        stream.write(content)


def repair(binary: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", "from relay_server.cli import main; main()", "repair", *options],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "RELAY_REDIS_BINARY": str(binary)},
    )


async def power_fails(server: ServerProgram, data_dir: Path) -> None:
    """Nothing of it is left, nor of Redis and the process with which that writes its base file."""
    redis_pid = json.loads((data_dir / "relay.lock").read_text())["redis_pid"]
    server.process.send_signal(signal.SIGSTOP)  # it would start Redis again
    os.killpg(redis_pid, signal.SIGKILL)
    server.kill()
    await server.exit_code()
    with (data_dir / "relay.lock").open() as lock:
        await eventually(lambda: free(lock.fileno()), what="the folder is free")


def free(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


async def enqueue(server: ServerProgram, jobs: int, payload: bytes = b"x" * 500) -> int:
    """How many were acknowledged."""
    async with connected(server.address) as relay:
        for _ in range(jobs):
            await relay.queue.Enqueue(pb.EnqueueRequest(queue="orders", job=spec(payload)))
    return jobs


async def stored(server: ServerProgram) -> int:
    async with connected(server.address) as relay:
        found = await relay.admin.Stats(StatsRequest(queue="orders"))
        return sum(int(queue.ready) for queue in found.queues)


async def in_the_middle_of_a_rewrite(server: ServerProgram, data_dir: Path) -> None:
    """Redis has begun the next incremental file, and does not come to an end with the base before it."""
    async with Redis.from_url(f"unix://{data_dir / 'redis' / 'redis.sock'}") as redis:
        await redis.config_set("rdb-key-save-delay", 60_000_000)
        await redis.bgrewriteaof()

        async def begun() -> bool:
            return len(files_of(data_dir)) == 2

        await until(begun)


@pytest.mark.parametrize(("acknowledged_meanwhile", "torn"), [(0, b""), (7, TORN), (7, TORN[:40])])
async def test_a_power_cut_during_a_rewrite_loses_nothing(
    start: Start, data_dir: Path, acknowledged_meanwhile: int, torn: bytes
) -> None:
    async with start() as server:
        acknowledged = await enqueue(server, 20, payload=b"\0" * 500)
        await in_the_middle_of_a_rewrite(server, data_dir)
        acknowledged += await enqueue(server, acknowledged_meanwhile, payload=b"\0" * 500)
        await power_fails(server, data_dir)
    newest = files_of(data_dir)[-1]
    before = newest.read_bytes()
    assert bool(before) == bool(acknowledged_meanwhile)
    add(newest, torn + b"\0" * (4096 - len(torn)))
    async with start() as server:
        assert "embedded_redis_padding_cut" in server.said()
        assert await stored(server) == acknowledged
    (kept,) = data_dir.glob("cut-*")
    assert (torn + b"\0" * (4096 - len(torn))).endswith(kept.read_bytes())
    assert kept.stat().st_size > 4000
    assert kept.stat().st_mode & 0o077 == 0


async def test_a_server_that_is_killed_during_a_rewrite_starts_again(start: Start, data_dir: Path) -> None:
    """The process that writes the new base file outlives Redis, and it holds the folder."""
    async with start() as server:
        acknowledged = await enqueue(server, 5)
        await in_the_middle_of_a_rewrite(server, data_dir)
        server.kill()
        await server.exit_code()
    async with start() as server:
        assert await stored(server) == acknowledged


async def test_a_sound_store_is_left_alone(start: Start, data_dir: Path) -> None:
    for _ in range(2):
        async with start() as server:
            await enqueue(server, 3, payload=b"\0" * 100)
            await power_fails(server, data_dir)
    assert list(data_dir.glob("cut-*")) == []


async def damaged_in_the_middle(start: Start, data_dir: Path) -> tuple[Path, bytes, int]:
    """The file, what was in it, and how many jobs are before the damage."""
    async with start() as server:
        before = await enqueue(server, 5)
        (file,) = files_of(data_dir)
        at = file.stat().st_size
        await enqueue(server, 5)
        await power_fails(server, data_dir)
    content = bytearray(file.read_bytes())
    content[at : at + 40] = b"\0" * 40
    file.write_bytes(content)
    return file, bytes(content), before


async def test_damage_in_the_middle_is_named_and_repaired(
    start: Start, data_dir: Path, binary: Path, embedded_config: StorageConfig
) -> None:
    file, content, jobs_before = await damaged_in_the_middle(start, data_dir)
    with pytest.raises(StoreDamaged) as damaged:
        await open_storage(embedded_config)
    at = aof.read(content).end
    hint = f"relay-server repair --data-dir {data_dir}"
    for part in (str(file), f"byte {at}", hint, "--dry-run", "redis.log"):
        assert part in str(damaged.value)
    assert file.read_bytes() == content

    dry = repair(binary, "--data-dir", str(data_dir), "--dry-run")
    assert (dry.returncode, dry.stderr) == (3, "")
    assert f"{len(content) - at} bytes" in dry.stdout
    assert len(dry.stdout.splitlines()) == 2
    assert file.read_bytes() == content
    assert list(data_dir.glob("before-repair-*")) == []

    done = repair(binary, "--data-dir", str(data_dir))
    assert (done.returncode, done.stderr) == (0, "")
    (kept,) = data_dir.glob("before-repair-*")
    assert (kept / file.name).read_bytes() == content
    async with start() as server:
        assert await stored(server) == jobs_before
        await enqueue(server, 1)
    again = repair(binary, "--data-dir", str(data_dir))
    assert (again.returncode, "nothing to do" in again.stdout) == (0, True)


async def test_the_program_ends_with_a_code_of_its_own(start: Start, data_dir: Path, binary: Path) -> None:
    await damaged_in_the_middle(start, data_dir)
    ended = subprocess.run(
        [
            *(sys.executable, "-c", "from relay_server.cli import main; main()"),
            *("--listen", "127.0.0.1:0", "--http", "off", "--data-dir", str(data_dir)),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "RELAY_REDIS_BINARY": str(binary)},
    )
    assert ended.returncode == EXIT_STORE_DAMAGED
    assert "relay-server repair" in ended.stderr


async def test_files_that_continue_a_damaged_one_are_cut_too(
    start: Start, data_dir: Path, binary: Path
) -> None:
    async with start() as server:
        before = await enqueue(server, 5)
        (file,) = files_of(data_dir)
        at = file.stat().st_size
        await enqueue(server, 5)
        await in_the_middle_of_a_rewrite(server, data_dir)
        await enqueue(server, 5)
        await power_fails(server, data_dir)
    content = bytearray(file.read_bytes())
    content[at + 3] ^= 0x40
    file.write_bytes(content)
    done = repair(binary, "--data-dir", str(data_dir))
    assert done.returncode == 0, done.stderr
    older, newer = files_of(data_dir)
    assert newer.stat().st_size == 0
    assert f"it continues {older.name}" in done.stdout
    async with start() as server:
        assert await stored(server) == before


async def test_a_command_that_redis_does_not_know(start: Start, data_dir: Path, binary: Path) -> None:
    async with start() as server:
        await enqueue(server, 5)
        await power_fails(server, data_dir)
    (file,) = files_of(data_dir)
    content = file.read_bytes()
    at = content.rindex(b"HSET")
    file.write_bytes(content[:at] + b"HSAT" + content[at + 4 :])
    with pytest.raises(AssertionError, match="relay-server repair"):
        async with start():
            pass
    done = repair(binary, "--data-dir", str(data_dir))
    assert (done.returncode, "hsat" in done.stdout) == (0, True)
    async with start() as server:
        assert await stored(server) == 4


async def break_manifest(folder: Path) -> None:
    (folder / aof.MANIFEST).write_bytes(b"\0" * 80)


async def lose_manifest(folder: Path) -> None:
    (folder / aof.MANIFEST).unlink()


async def lose_file(folder: Path) -> None:
    next(folder.glob("*.incr.aof")).unlink()


async def break_base(folder: Path) -> None:
    base = next(folder.glob("*.base.rdb"))
    content = bytearray(base.read_bytes())
    content[-4] ^= 0xFF
    base.write_bytes(content)


@pytest.mark.parametrize("harm", [break_manifest, lose_manifest, lose_file, break_base])
async def test_repair_says_which_damage_it_cannot_mend(
    embedded_config: StorageConfig, data_dir: Path, binary: Path, harm: Callable[[Path], Any]
) -> None:
    async with await open_storage(embedded_config) as storage:
        await storage.primaries[0].client.set("kept", "yes")
    folder = data_dir / "redis" / aof.FOLDER
    await harm(folder)
    found = {file.name: file.read_bytes() for file in folder.iterdir()}
    with pytest.raises(StoreDamaged, match=r"(?s)Nothing was changed.*backup|no part of it.*backup"):
        await open_storage(embedded_config)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == found
    if harm is not break_base:  # which only Redis can tell
        refused = repair(binary, "--data-dir", str(data_dir))
        assert (refused.returncode, aof.MANIFEST in refused.stderr) == (1, True)


async def test_repair_leaves_a_running_server_alone(start: Start, data_dir: Path, binary: Path) -> None:
    async with start():
        refused = repair(binary, "--data-dir", str(data_dir))
        assert (refused.returncode, "in use" in refused.stderr) == (1, True)
    nowhere = repair(binary, "--data-dir", str(data_dir / "nowhere"))
    assert (nowhere.returncode, "holds no store" in nowhere.stderr) == (1, True)
    assert not (data_dir / "nowhere").exists()
    wrong = repair(binary, "--data-folder", "x")
    assert wrong.returncode == 2
