"""relay:format: an empty store gets a number, another number is refused at the start, and noticed later."""

from typing import Any

import pytest
from redis import exceptions as redis_errors

from relay.v1 import admin_service_pb2 as admin_pb
from relay_server import errors
from relay_server.engine import FORMAT, StoreFormat, keys
from relay_server.storage.errors import StoreFormatRefused
from tests.support.engine import Lab, a_job
from tests.support.relay import Relay, eventually, server_program
from tests.support.stores import Store


async def number(store: Store) -> Any:
    async with store.raw_client() as raw:
        return await raw.execute_command("GET", keys.FORMAT)


async def test_an_empty_store_gets_the_number_and_operators_see_it(relay: Relay, relay_redis: Store) -> None:
    assert await number(relay_redis) == str(FORMAT).encode()
    info = await relay.admin.GetServerInfo(admin_pb.GetServerInfoRequest())
    assert info.store.format == FORMAT


@pytest.mark.topologies
async def test_on_a_cluster_and_behind_sentinels_too(relay: Relay, relay_redis: Store) -> None:
    await test_an_empty_store_gets_the_number_and_operators_see_it(relay, relay_redis)
    async with relay_redis.raw_client() as raw:
        await raw.execute_command("SET", keys.FORMAT, "8")
    with pytest.raises(StoreFormatRefused, match=r"format 8.*knows format 1"):
        await StoreFormat(relay.app.storage.link).read_or_set()
    async with relay_redis.raw_client() as raw:
        await raw.execute_command("SET", keys.FORMAT, "1")


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (
            "2",
            r"is in format 2, and this version of relay-server knows format 1 and no newer one\. Start the version",
        ),
        ("999999999", "is in format 999999999"),
        ("9999999999", "no number of a format.*redis-cli SET relay:format 1"),
        ("0", "no number of a format"),
        ("-1", "no number of a format"),
        ("", "no number of a format"),
        ("½", "no number of a format"),
        ("two", "no number of a format"),
    ],
)
async def test_another_number_is_refused(lab: Lab, found: str, text: str) -> None:
    await lab.command("SET", keys.FORMAT, found)
    for look in (StoreFormat(lab.link).read_or_set, StoreFormat(lab.link).look_again):
        with pytest.raises(StoreFormatRefused, match=text):
            await look()
    assert await lab.command("GET", keys.FORMAT) == found.encode()


async def test_queues_without_a_number_are_of_before_the_first_release(lab: Lab) -> None:
    await lab.enqueued(a_job())
    await lab.command("DEL", keys.FORMAT)
    with pytest.raises(
        StoreFormatRefused, match=r"does not say in which format.*UNLINK.*redis-cli SET relay:format 1"
    ):
        await StoreFormat(lab.link).read_or_set()
    assert await lab.command("GET", keys.FORMAT) is None


async def test_the_first_server_decides(lab: Lab) -> None:
    await lab.command("DEL", keys.FORMAT)
    first, second = StoreFormat(lab.link), StoreFormat(lab.link)
    await first.read_or_set()
    await second.read_or_set()
    assert (first.number, second.number) == (FORMAT, FORMAT)


async def test_a_number_that_is_gone_is_written_again(lab: Lab) -> None:
    await lab.enqueued(a_job())
    await lab.command("DEL", keys.FORMAT)
    await StoreFormat(lab.link).look_again()
    assert await lab.command("GET", keys.FORMAT) == b"1"


async def test_a_key_that_is_no_text_is_no_number(lab: Lab) -> None:
    await lab.command("DEL", keys.FORMAT)
    await lab.command("HSET", keys.FORMAT, "a", "b")
    await lab.enqueued(a_job())
    with pytest.raises(StoreFormatRefused):
        await StoreFormat(lab.link).read_or_set()


@pytest.mark.one_server
async def test_a_store_that_cannot_be_asked_is_for_others_to_notice(lab: Lab) -> None:
    await lab.command("DEL", keys.FORMAT)
    await lab.command("CONFIG", "SET", "maxmemory", "1")
    try:
        await StoreFormat(lab.link).look_again()
        with pytest.raises(errors.StoreOutOfMemory):
            await StoreFormat(lab.link).read_or_set()
    finally:
        await lab.command("CONFIG", "SET", "maxmemory", "0")


@pytest.mark.parametrize(
    "reply",
    [
        redis_errors.NoPermissionError("NOPERM this user has no permissions to access one of the keys"),
        redis_errors.ResponseError("ERR upstream failure"),
    ],
)
async def test_a_reply_of_no_store_at_all_ends_no_server(reply: Exception) -> None:
    """A proxy in front of Redis answers with words of its own, and an operator may narrow rights for a moment."""

    class Odd:
        async def execute(self, *_: object, **__: object) -> object:
            raise reply

    looked = StoreFormat(Odd())  # type: ignore[arg-type]
    await looked.look_again()
    with pytest.raises(type(reply)):
        await looked.read_or_set()


async def test_a_program_refuses_a_newer_store_and_says_how_to_go_on(
    redis_url: str, relay_redis: Store
) -> None:
    async with relay_redis.raw_client() as raw:
        await raw.execute_command("SET", keys.FORMAT, "3")
    with pytest.raises(AssertionError, match=r"relay-server: the store is in format 3.*knows format 1"):
        async with server_program("--redis-url", redis_url):
            pass


async def test_a_running_program_ends_when_another_version_upgraded_the_store(
    redis_url: str, relay_redis: Store
) -> None:
    """At once and without a last write: what it would write is of a format that is over."""
    async with server_program("--redis-url", redis_url) as program, relay_redis.raw_client() as raw:
        await raw.execute_command("DEL", keys.FORMAT)
        await eventually(lambda: "store_format_missing" in program.said(), what="the number written again")
        assert program.process.poll() is None
        await raw.execute_command("SET", keys.FORMAT, "2")
        assert await program.exit_code() == 1
        assert (
            "relay-server: the store is in format 2, and this version of relay-server knows format 1"
            in program.said()
        )
        assert "Traceback" not in program.said()
