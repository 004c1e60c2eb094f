"""How the clients behave when replies are lost, servers freeze, and channels stay quiet."""

import asyncio
import os
import signal
from contextlib import aclosing
from pathlib import Path

import pytest
from redis import exceptions as redis_errors
from redis.asyncio import Redis

from relay_conformance.proxy import proxying
from relay_server.storage import StorageConfig, open_storage
from tests.integration.storage.servers import running, until
from tests.support.redis_server import client_as_relay

COUNT = "return redis.call('INCR', KEYS[1])"


async def test_a_lost_reply_never_runs_a_script_twice(binary: Path) -> None:
    async with running(binary) as (url, _), proxying(url.removeprefix("unix://")) as proxy:
        loss = proxy.lose_reply(b"INCR")
        client = client_as_relay(f"redis://{proxy.address}")
        with pytest.raises(redis_errors.ConnectionError):
            await client.eval(COUNT, 1, "n")
        assert loss.done.is_set()
        assert await client.get("n") == b"1"
        await client.aclose()


async def test_redis_py_left_alone_would_run_it_twice(binary: Path) -> None:
    """Shows that the test above can fail, and why the setting exists."""
    async with running(binary) as (url, _), proxying(url.removeprefix("unix://")) as proxy:
        loss = proxy.lose_reply(b"INCR")
        async with Redis(host="127.0.0.1", port=proxy.port) as client:
            assert await client.eval(COUNT, 1, "n") == 2
        assert loss.done.is_set()


async def test_replies_are_bytes_and_databases_count(binary: Path) -> None:
    async with running(binary) as (url, _):
        async with client_as_relay(f"{url}?db=1") as client:
            await client.set("k", b"\xff\x00")
            assert await client.get("k") == b"\xff\x00"
        async with client_as_relay(url) as client:
            assert await client.get("k") is None


async def test_more_calls_than_connections_wait_their_turn(binary: Path) -> None:
    async with running(binary) as (url, _), client_as_relay(url, StorageConfig(connections_max=2)) as client:
        assert await asyncio.gather(*(client.incr("n") for _ in range(200)))
        assert await client.get("n") == b"200"


async def test_a_frozen_server_costs_the_command_timeout(binary: Path) -> None:
    async with (
        running(binary) as (url, pid),
        client_as_relay(url, StorageConfig(command_timeout_s=0.2)) as client,
    ):
        await client.ping()
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(redis_errors.TimeoutError):
            async with asyncio.timeout(10):
                await client.get("k")


async def test_a_subscriber_may_wait_longer_than_a_command(binary: Path) -> None:
    async with running(binary) as (url, _):
        config = StorageConfig(redis_url=url, command_timeout_s=0.5, pubsub_silence_max_s=60)
        async with (
            await open_storage(config) as storage,
            storage.primaries[0].pubsub_client.pubsub() as pubsub,
        ):
            await pubsub.subscribe("c")
            assert (await pubsub.get_message(timeout=None))["type"] == "subscribe"
            heard = asyncio.create_task(pubsub.get_message(timeout=None))
            done, _ = await asyncio.wait({heard}, timeout=1.2)
            assert not done
            await storage.primaries[0].client.publish("c", "hello")
            assert (await heard)["data"] == b"hello"


async def test_a_quiet_channel_is_not_taken_for_a_dead_one(binary: Path) -> None:
    async with running(binary) as (url, _):
        config = StorageConfig(redis_url=url, pubsub_silence_max_s=0.8)
        async with await open_storage(config) as storage, aclosing(storage.listen()) as listener:
            await listener.subscribe("c")
            loop = asyncio.get_running_loop()
            end = loop.time() + 2 * config.pubsub_silence_max_s
            assert await listener.get() == (b"c", b"")
            while loop.time() < end:
                assert await listener.get() is None
            await storage.primaries[0].client.spublish("c", "hello")
            assert await until(listener.get) == (b"c", b"hello")


async def test_a_frozen_server_is_noticed_by_its_subscriber(binary: Path) -> None:
    async with running(binary) as (url, pid):
        config = StorageConfig(redis_url=url, command_timeout_s=2, pubsub_silence_max_s=0.8)
        async with await open_storage(config) as storage, aclosing(storage.listen()) as listener:
            await listener.subscribe("c")
            await listener.get()
            os.kill(pid, signal.SIGSTOP)

            async def listen_on() -> None:
                while True:
                    await listener.get()

            with pytest.raises(redis_errors.ConnectionError, match="no reply to a ping"):
                await asyncio.wait_for(listen_on(), 10)
            os.kill(pid, signal.SIGCONT)

            # It subscribes again by itself, and says so, because something may have been missed.
            assert await until(listener.get) == (b"c", b"")
            await storage.primaries[0].client.spublish("c", "again")
            assert await until(listener.get) == (b"c", b"again")


async def test_channels_come_and_go_while_another_task_listens(binary: Path) -> None:
    async with running(binary) as (url, _):
        config = StorageConfig(redis_url=url, pubsub_silence_max_s=0.4)
        async with await open_storage(config) as storage, aclosing(storage.listen()) as listener:
            await listener.subscribe("a")
            heard: list[tuple[bytes, bytes]] = []

            async def listen_on() -> None:
                while True:
                    message = await listener.get()
                    if message is not None:
                        heard.append(message)

            listening = asyncio.create_task(listen_on())

            async def has(channel: bytes, data: bytes) -> bool:
                assert not listening.done()
                return (channel, data) in heard

            await until(lambda: has(b"a", b""))
            await listener.unsubscribe("a")
            done, _ = await asyncio.wait({listening}, timeout=1)  # nothing subscribed, pings go on
            assert not done
            await listener.subscribe("b")
            await until(lambda: has(b"b", b""))
            await storage.primaries[0].client.spublish("a", "not heard")
            await storage.primaries[0].client.spublish("b", "heard")
            await until(lambda: has(b"b", b"heard"))
            assert (b"a", b"not heard") not in heard
            listening.cancel()
            await asyncio.wait({listening})


async def test_tasks_that_find_a_connection_broken_open_one_between_them(binary: Path) -> None:
    async with running(binary) as (url, _), proxying(url.removeprefix("unix://")) as proxy:
        config = StorageConfig(redis_url=f"redis://{proxy.address}")
        async with await open_storage(config) as storage, aclosing(storage.listen()) as listener:
            await listener.subscribe("a")
            assert await listener.get() == (b"a", b"")
            proxy.cut()
            await asyncio.gather(listener.get(), return_exceptions=True)
            before = proxy.accepted
            await asyncio.gather(
                listener.get(), *(listener.subscribe(name) for name in "bcd"), return_exceptions=True
            )
            assert proxy.accepted == before + 1
            await storage.health()  # notices that the other connections were cut, too
            await storage.primaries[0].client.spublish("d", "hello")
            while await until(listener.get) != (b"d", b"hello"):
                pass
