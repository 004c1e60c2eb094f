"""The loader: names of a header become Lua locals, and a header that lies does not load."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from redis import exceptions as redis_errors

from relay_server import errors
from relay_server.engine import keys, lua_script
from relay_server.engine.domain_errors import domain_error
from relay_server.engine.lua_script import Arg, bind, load_scripts
from relay_server.engine.scripts import ScriptRunner
from relay_server.storage.connect import Node
from tests.support.redis_server import RedisServer, link_to

GOOD = """#!lua flags=allow-oom
-- good: a script.
--
-- @key ready zset
-- @key wake  channel
-- @keys more
-- @arg now           with words behind it
-- @arg limit
-- @each id n
-- @number now? limit n+
-- @returns OK
-- @reply word now
-- @row name value
-- @use piece

for id, n in each() do piece(id, n) end
redis.call("ZCARD", key.ready)
redis.call("SPUBLISH", key.wake, "ready")
return {"OK"}
"""
LIBRARY = {"piece": "local function piece() end"}


def test_a_header_is_read() -> None:
    script = bind("good", GOOD, LIBRARY)
    header = script.header
    assert (script.keys, header.args, header.each) == (("ready", "wake"), ("now", "limit"), ("id", "n"))
    assert header.extra_keys
    assert (header.reply, header.row) == (("word", "now"), ("name", "value"))
    assert script.source.startswith("#!lua flags=allow-oom\n")
    assert LIBRARY["piece"] in script.source
    assert len(script.sha) == 40


@pytest.mark.parametrize(("old", "new", "says"), [
    ("#!lua flags=allow-oom", "-- no shebang", "first line"),
    ("@use piece", "@use piece peace", "@use peace: no such file"),
    ("-- @returns OK", "--", "@returns is missing"),
    ("@number now? limit n+", "@number lease", "@number lease: no such"),
    ("@key ready zset", "@key ready set", "not zset, hash or channel"),
    ("@arg limit", "@arg now", "now is declared twice"),
    ("@each id n", "@each id limit", "limit is declared twice"),
    ("key.ready", "key.delayed", "key.delayed has no @key"),
    ('redis.call("ZCARD", key.ready)', "", "@key ready: nothing touches it"),
    ("@keys more", "@kyes more", "unknown tag @kyes"),
    ("@each id n", "@each id n (a number)", "cannot be read"),
    ("@key wake  channel", "@key wake", "cannot be read"),
    ("@reply word now", "@reply word value", "value is answered twice"),
    ("@reply word now", "@reply rows now", "rows may not be a name"),
    ("@reply word now", "@reply word, now", "cannot be read"),
    ("-- @reply word now\n-- @row name value", "--", "neither @reply nor @row"),
    ("@arg limit", "@arg jobs", "jobs may not be a name"),
    ("@returns OK", "@many queues\n-- @returns OK", "cannot be read"),
    ("@returns OK", "@many\n-- @returns OK", "@many wants as many keys and arguments"),
])  # fmt: skip
def test_a_header_that_lies_does_not_load(old: str, new: str, says: str) -> None:
    assert old in GOOD
    with pytest.raises(ValueError, match=says) as caught:
        bind("good", GOOD.replace(old, new, 1), LIBRARY)
    assert str(caught.value).startswith("good.lua: ")


def test_all_keys_that_a_script_declares_are_of_a_queue_or_of_names_or_of_sessions() -> None:
    """Not of two: they are in different slots."""
    for script in load_scripts().values():
        declared = set(script.keys) - {"index"}
        of_one_kind = (keys.QUEUE_KEYS, keys.NAMES_KEYS, keys.SESSION_KEYS)
        assert any(declared <= set(kind) for kind in of_one_kind), script.name


def test_each_script_is_loaded_under_the_name_of_its_file() -> None:
    folder = Path(lua_script.__file__).parent / "lua"
    assert set(load_scripts()) == {path.stem for path in folder.glob("*.lua")}


def test_a_script_declares_what_the_pieces_touch_to_which_it_comes() -> None:
    library = {
        "piece": """-- @use deep
local function idle() return key.body end
local function piece() return deep() end""",
        "deep": 'local function deep() return redis.call("ZCARD", key.dead) end',
    }
    with pytest.raises(ValueError, match=r"key\.dead has no @key"):
        bind("good", GOOD, library)
    script = bind("good", GOOD.replace("@key ready zset", "@key ready zset\n-- @key dead zset"), library)
    assert "idle" not in script.source
    assert script.source.index("local function deep") < script.source.index("local function piece")


async def test_an_unknown_script_or_key_is_the_callers_mistake(redis_server: RedisServer) -> None:
    client = redis_server.client()
    runner = ScriptRunner(link_to(client))
    with pytest.raises(KeyError):
        await runner.run("no_such_script", keys.queue_keys("q"), [])
    with pytest.raises(KeyError):
        await runner.run("ack", {}, [""])
    await client.aclose()


FILLED: dict[str, Arg] = {"now": "", "seed": 1}


def test_a_call_names_its_arguments() -> None:
    script = bind("good", GOOD, LIBRARY)
    assert script.argv(FILLED, {"limit": 3}, [("a", 1), ("b", 2)]) == ["", 3, "a", 1, "b", 2]
    assert load_scripts()["cancel"].argv({}, {}, [b"id", b"other"]) == [b"id", b"other"]


@pytest.mark.parametrize(
    ("given", "rows", "says"),
    [
        ({}, [], "good: limit is missing"),
        ({"limit": 1, "limits": 2}, [], "good: limits is no argument to give"),
        ({"limit": 1, "now": 2}, [], "good: now is no argument to give"),
        ({"limit": 1}, [("a", 1), ("b",)], r"good: each row is \(id, n\)"),
    ],
)
def test_an_argument_that_does_not_fit_is_named(
    given: dict[str, Arg], rows: list[tuple[Arg, ...]], says: str
) -> None:
    with pytest.raises(TypeError, match=says):
        bind("good", GOOD, LIBRARY).argv(FILLED, given, rows)


def test_a_reply_is_read_by_name() -> None:
    reply = bind("good", GOOD, LIBRARY).read([b"OK", b"7", b"a", b"1", b"b", b"2"])
    assert (reply.word, reply.now, reply.rows) == (b"OK", b"7", [(b"a", b"1"), (b"b", b"2")])
    assert load_scripts()["held"].read([b"7", b"OK"]).rows == [b"OK"]
    assert load_scripts()["pause"].read([b"OK"]).word == b"OK"


@pytest.mark.parametrize("reply", [[], [b"OK"], [b"OK", b"7", b"a"]])
def test_a_reply_of_another_width_is_an_error(reply: list[bytes]) -> None:
    with pytest.raises(ValueError, match="good answered"):
        bind("good", GOOD, LIBRARY).read(reply)


def test_every_script_that_takes_the_time_or_chance_has_it_from_the_runner() -> None:
    for script in load_scripts().values():
        assert script.filled == {"now", "seed"}.intersection(script.header.args), script.name


@pytest.mark.parametrize("args", [[], ["", "id"], ["", "id", "token", "id"]])
async def test_arguments_that_do_not_add_up_are_refused(redis_server: RedisServer, args: list[str]) -> None:
    client = redis_server.client()
    with pytest.raises(redis_errors.ResponseError, match="RELAYARG"):
        await ScriptRunner(link_to(client)).run("ack", keys.queue_keys("q"), list(args))
    await client.aclose()


async def test_scripts_asked_while_a_pipeline_is_under_way_share_the_next(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = redis_server.client()
    link = link_to(client)
    runner = ScriptRunner(link)
    await runner.load()
    sizes: list[int] = []
    send = link._pipeline

    async def counted(node: Node, batch: Sequence[Any]) -> list[Any]:
        sizes.append(len(batch))
        return await send(node, batch)

    monkeypatch.setattr(link, "_pipeline", counted)
    replies = await asyncio.gather(*(runner.run("stats", keys.queue_keys("q"), [n]) for n in range(150)))
    assert [int(reply[0]) for reply in replies] == list(range(150))
    assert sizes == [64, 64, 22]
    await client.aclose()


async def test_one_failing_script_of_a_pipeline_fails_alone(redis_server: RedisServer) -> None:
    client = redis_server.client()
    seen: list[tuple[str, int]] = []
    runner = ScriptRunner(link_to(client), observe=lambda name, seconds, jobs: seen.append((name, jobs)))
    good, bad, other = await asyncio.gather(
        runner.run("stats", keys.queue_keys("q"), ["1"], jobs=3),
        runner.run("stats", keys.queue_keys("q"), ["nonsense"]),
        runner.run("stats", keys.queue_keys("q"), ["2"]),
        return_exceptions=True,
    )
    assert isinstance(good, list)
    assert isinstance(other, list)
    assert isinstance(bad, redis_errors.ResponseError)
    assert seen == [("stats", 3), ("stats", 1), ("stats", 1)]
    await client.aclose()


async def test_a_reload_that_fails_spares_the_scripts_that_ran(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = redis_server.client()
    link = link_to(client)
    runner = ScriptRunner(link)
    await runner.load()
    send = link._pipeline

    async def one_unknown(node: Node, batch: Sequence[Any]) -> list[Any]:
        if batch[0].words[0] == "SCRIPT":
            raise redis_errors.ConnectionError
        return [*await send(node, batch[:-1]), redis_errors.NoScriptError("NOSCRIPT")]

    monkeypatch.setattr(link, "_pipeline", one_unknown)
    ran, unknown = await asyncio.gather(
        *(runner.run("stats", keys.queue_keys("q"), [n]) for n in (1, 2)), return_exceptions=True
    )
    assert isinstance(ran, list)
    assert isinstance(unknown, errors.StoreUnavailable)
    await client.aclose()


@pytest.mark.parametrize(("error", "kind"), [
    (redis_errors.ConnectionError("x"), errors.StoreUnavailable),
    (redis_errors.TimeoutError("x"), errors.StoreUnavailable),
    (ConnectionResetError(), errors.StoreUnavailable),
    (redis_errors.ReadOnlyError("x"), errors.StoreUnavailable),
    (redis_errors.BusyLoadingError("x"), errors.StoreUnavailable),
    (redis_errors.ClusterDownError("x"), errors.StoreUnavailable),
    (redis_errors.MasterDownError("x"), errors.StoreUnavailable),
    (redis_errors.ResponseError("MISCONF Redis is configured to save"), errors.StoreUnavailable),
    (redis_errors.ResponseError("MASTERDOWN Link"), errors.StoreUnavailable),
    (redis_errors.OutOfMemoryError("x"), errors.StoreOutOfMemory),
    (redis_errors.ResponseError("OOM command not allowed"), errors.StoreOutOfMemory),
    (redis_errors.ResponseError("WRONGTYPE"), redis_errors.ResponseError),
    (errors.QueueFull(), errors.QueueFull),
])  # fmt: skip
def test_redis_errors_have_names_in_the_domain(error: Exception, kind: type[Exception]) -> None:
    assert type(domain_error(error)) is kind
