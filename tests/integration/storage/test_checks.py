"""Every refusal and warning at start-up, with the fix in its words; and what health sees."""

import os
import signal
import tempfile
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError

from relay_server.storage import Durability, StorageConfig, StorageError, Trouble, open_storage
from relay_server.storage import errors as storage_errors
from tests.integration.storage.servers import Answer, forged, running, until


async def refusal(url: str, kind: type[StorageError]) -> str:
    with pytest.raises(kind) as refused:
        await open_storage(StorageConfig(redis_url=url, command_timeout_s=2, connect_timeout_s=2))
    assert type(refused.value) is kind
    assert "s3cret" not in str(refused.value)
    return str(refused.value)


async def test_a_fit_server_without_aof_is_taken_with_a_warning(binary: Path) -> None:
    async with running(binary) as (url, _), await open_storage(StorageConfig(redis_url=url)) as storage:
        assert storage.report.durability is Durability.NONE
        assert storage.report.durability_known
        assert storage.report.aof_last_write_ok is None
        assert storage.report.used_memory_bytes > 0
        assert "CONFIG SET appendonly yes" in storage.report.warnings[0]
        assert (storage.report.server_name, storage.report.server_version[0]) in {
            ("redis", "7"),
            ("valkey", "9"),
        }
        assert (await storage.health()).ok


@pytest.mark.parametrize(
    ("fsync", "durability", "warnings"),
    [("always", Durability.ALWAYS, 0), ("everysec", Durability.EVERYSEC, 0), ("no", Durability.OS, 1)],
)
async def test_durability_is_what_redis_does(
    binary: Path, fsync: str, durability: Durability, warnings: int
) -> None:
    options = ("--appendonly", "yes", "--appendfsync", fsync, "--maxmemory", "100mb")
    async with (
        running(binary, *options) as (url, _),
        await open_storage(StorageConfig(redis_url=url)) as storage,
    ):
        assert storage.report.durability is durability
        assert len(storage.report.warnings) == warnings
        assert storage.report.aof_last_write_ok is True
        assert storage.report.maxmemory_bytes == 100 * 1024 * 1024


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
async def test_a_redis_that_would_evict(binary: Path, policy: str) -> None:
    async with running(binary, "--maxmemory-policy", policy) as (url, _):
        text = await refusal(url, storage_errors.RedisWouldEvict)
    assert policy in text
    assert "redis-cli CONFIG SET maxmemory-policy noeviction" in text


async def test_a_replica(binary: Path) -> None:
    async with running(binary, "--replicaof", "127.0.0.1", "1") as (url, _):
        text = await refusal(url, storage_errors.RedisIsReplica)
    assert "--redis-url redis://127.0.0.1:1" in text


async def test_a_cluster_node(binary: Path) -> None:
    async with running(binary, "--cluster-enabled", "yes", "--port", "0") as (url, _):
        assert "cluster mode" in await refusal(url, storage_errors.RedisModeUnsupported)


async def test_passwords(binary: Path) -> None:
    async with running(binary, "--requirepass", "right", "--protected-mode", "no") as (url, _):
        for wrong in (url, f"{url}?password=s3cret"):
            text = await refusal(wrong, storage_errors.RedisLoginRefused)
            assert "redis://USER:PASSWORD@HOST:PORT" in text
        async with await open_storage(StorageConfig(redis_url=f"{url}?password=right")) as storage:
            assert storage.shown == f"{url}?password=***"


async def user(url: str, *rules: str) -> str:
    """The URL of a new user with these ACL rules."""
    async with Redis.from_url(url) as admin:
        await admin.execute_command("ACL", "SETUSER", "relay", "on", ">s3cret", *rules)  # type: ignore[no-untyped-call]
    return f"{url}?username=relay&password=s3cret"


async def test_config_forbidden_is_a_warning_that_names_what_is_unknown(binary: Path) -> None:
    async with running(binary, "--appendonly", "yes") as (url, _):
        limited = await user(url, "~*", "+@all", "-config")
        async with await open_storage(StorageConfig(redis_url=limited)) as storage:
            assert storage.report.durability is Durability.EVERYSEC
            assert not storage.report.durability_known
            assert "appendfsync" in storage.report.warnings[0]
            assert "+config|get" in storage.report.warnings[0]
            assert "s3cret" not in storage.report.warnings[0]


async def test_config_forbidden_still_finds_an_evicting_policy(binary: Path) -> None:
    async with running(binary, "--maxmemory-policy", "allkeys-lru") as (url, _):
        limited = await user(url, "~*", "+@all", "-config")
        await refusal(limited, storage_errors.RedisWouldEvict)


async def test_the_rights_in_the_message_are_enough(binary: Path) -> None:
    async with running(binary) as (url, _):
        text = await refusal(await user(url, "+ping", "+client|setname"), storage_errors.RedisForbidden)
        rules = text.partition("ACL SETUSER <user> ")[2].split()
        config = StorageConfig(redis_url=await user(url, *rules))
        async with await open_storage(config) as storage, aclosing(storage.listen()) as listener:
            assert (await storage.health()).ok
            await listener.subscribe("relay:{q}:wake")
            assert await until(listener.get) == (b"relay:{q}:wake", b"")
            script = (
                "redis.call('TIME') redis.call('ZADD', KEYS[1], 1, 'id') redis.call('DEL', KEYS[1]) "
                "return redis.call('SPUBLISH', 'relay:{q}:wake', 'now')"
            )
            assert await storage.primaries[0].client.eval(script, 1, "relay:{q}:ready") == 1
            assert await until(listener.get) == (b"relay:{q}:wake", b"now")
            with pytest.raises(NoPermissionError):
                await storage.primaries[0].client.flushall()


async def test_nobody_there(tmp_path: Path) -> None:
    text = await refusal("redis://u:s3cret@127.0.0.1:1/0", storage_errors.RedisUnreachable)
    assert "redis://u:***@127.0.0.1:1/0" in text
    assert "--redis-url" in text


async def test_a_database_that_does_not_exist(binary: Path) -> None:
    async with running(binary) as (url, _):
        assert "databases" in await refusal(f"{url}?db=99", storage_errors.BadRedisUrl)


def says(info: str) -> Answer:
    def answer(command: list[bytes]) -> bytes:
        match command[0].upper():
            case b"PING":
                return b"+PONG\r\n"
            case b"INFO":
                return f"${len(info)}\r\n{info}\r\n".encode()
            case b"CONFIG":
                return b"*0\r\n"
        return b"+OK\r\n"

    return answer


@pytest.mark.parametrize(
    ("info", "says_version"),
    [
        ("redis_version:6.2.14\r\nredis_mode:standalone\r\n", "redis .* is version 6.2.14"),
        (
            "redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:7.1.9\r\n",
            "valkey .* is version 7.1.9",
        ),
    ],
)
async def test_too_old(info: str, says_version: str) -> None:
    async with forged(says(info)) as url:
        with pytest.raises(
            storage_errors.RedisTooOld, match=f"{says_version}; Relay needs Redis 7.0 or Valkey 7.2"
        ):
            await open_storage(StorageConfig(redis_url=url))


async def test_a_sentinel() -> None:
    async with forged(says("redis_version:7.0.15\r\nredis_mode:sentinel\r\n")) as url:
        assert "redis+sentinel://HOST:PORT/SERVICE" in await refusal(url, storage_errors.RedisModeUnsupported)


async def test_nothing_known_about_policy_or_aof_is_said() -> None:
    info = "redis_version:7.4.0\r\nredis_mode:standalone\r\nrole:master\r\n"
    async with forged(says(info)) as url, await open_storage(StorageConfig(redis_url=url)) as storage:
        policy, fsync = storage.report.warnings
        assert "maxmemory-policy" in policy
        assert "appendfsync" in fsync
        assert not storage.report.durability_known


async def test_still_loading() -> None:
    async with forged(lambda command: b"-LOADING Redis is loading the dataset in memory\r\n") as url:
        assert "INFO persistence" in await refusal(url, storage_errors.RedisNotReady)


async def health_of(client_url: str, *commands: tuple[str, ...]) -> Trouble | None:
    async with await open_storage(StorageConfig(redis_url=client_url, health_timeout_s=0.5)) as storage:
        assert (await storage.health()).ok
        for command in commands:
            await storage.primaries[0].client.execute_command(*command)  # type: ignore[no-untyped-call]
        return (await storage.health()).trouble


async def test_health_sees_a_primary_become_a_replica(binary: Path) -> None:
    async with running(binary) as (url, _):
        assert await health_of(url, ("REPLICAOF", "127.0.0.1", "1")) is Trouble.READ_ONLY


async def test_health_sees_missing_replicas(binary: Path) -> None:
    async with running(binary) as (url, _):
        trouble = await health_of(url, ("CONFIG", "SET", "min-replicas-to-write", "1"))
        assert trouble is Trouble.TOO_FEW_REPLICAS


async def test_health_sees_a_failing_disk(binary: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as lost:
        folder = Path(lost, "gone")
        folder.mkdir()
        async with (
            running(binary, "--dir", str(folder)) as (url, _),
            await open_storage(StorageConfig(redis_url=url)) as storage,
        ):
            await storage.primaries[0].client.config_set("save", "3600 1")
            folder.rmdir()
            await storage.primaries[0].client.bgsave()

            async def trouble() -> Trouble | None:
                return (await storage.health()).trouble

            assert await until(trouble) is Trouble.DISK


async def test_a_full_redis_is_in_service_because_jobs_can_leave(binary: Path) -> None:
    async with running(binary) as (url, _):
        assert await health_of(url, ("CONFIG", "SET", "maxmemory", "1")) is None


async def test_health_of_a_frozen_and_of_a_dead_server(binary: Path) -> None:
    config = StorageConfig(health_timeout_s=0.2)
    async with (
        running(binary) as (url, pid),
        await open_storage(replace(config, redis_url=url)) as storage,
    ):
        os.kill(pid, signal.SIGSTOP)
        assert (await storage.health()).trouble is Trouble.UNREACHABLE
        os.kill(pid, signal.SIGKILL)
        assert (await storage.health()).trouble is Trouble.UNREACHABLE
