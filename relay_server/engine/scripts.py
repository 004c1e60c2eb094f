"""Loads the Lua scripts, binds their names to KEYS and ARGV, and runs them where their queue is."""

import hashlib
import random
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Protocol, TypeVar

from redis import exceptions as redis_errors

from relay_server import errors, tasks
from relay_server.engine.keys import QUEUE_KEYS, queue_keys
from relay_server.engine.lua_parts import needed, touched
from relay_server.storage.failures import FAILURES, is_lost_connection
from relay_server.storage.link import Link

# What one script looks at when it looks at many queues: each costs about as much as an ack.
MANY_QUEUES = 32
_APART_AT_ONCE = 16  # queues that are asked each by itself
_LOADS_MAX = 4  # a slot may move between a load and the call behind it

T = TypeVar("T")

Arg = bytes | str | int | float


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """One transition: its source as Redis gets it, and the names its header declares."""

    name: str
    source: str
    sha: str
    keys: tuple[str, ...]
    args: tuple[str, ...]
    each: tuple[str, ...]
    extra_keys: bool
    many: "Script | None" = None


class Observer(Protocol):
    """Hears what each script call cost."""

    def __call__(self, script: str, seconds: float, jobs: int) -> None: ...


@cache
def load_scripts() -> Mapping[str, Script]:
    """All scripts of the package, by name. They are read once in a process."""
    folder = resources.files("relay_server.engine").joinpath("lua")
    library = {
        file.name.removesuffix(".lua"): file.read_text()
        for file in folder.joinpath("lib").iterdir()
        if file.name.endswith(".lua")
    }
    return {
        script.name: script
        for file in folder.iterdir()
        if file.name.endswith(".lua")
        for script in [bind(file.name.removesuffix(".lua"), file.read_text(), library)]
    }


def bind(name: str, text: str, library: dict[str, str]) -> Script:
    """Joins a script with the pieces it uses and turns the names of its header into Lua locals."""
    shebang, _, body = text.partition("\n")
    _check_header(name, shebang, body, library)
    keys = re.findall(r"^-- @key (\w+) +(\w+\??)", body, re.MULTILINE)
    args = tuple(re.findall(r"^-- @arg (\w+)", body, re.MULTILINE))
    each = tuple(" ".join(re.findall(r"^-- @each ([\w ]+)$", body, re.MULTILINE)).split())
    extra = bool(re.search(r"^-- @keys ", body, re.MULTILINE))
    numbers = " ".join(re.findall(r"^-- @number ([\w?+ ]+)$", body, re.MULTILINE)).split()
    names = tuple(key for key, _ in keys)
    prelude = [
        "local key = {" + ", ".join(f"{key} = KEYS[{i}]" for i, key in enumerate(names, 1)) + "}",
        # A key of a wrong type would fail half-way through the writes; scripts have no rollback.
        *(
            f'do local t = redis.call("TYPE", key.{key}).ok if t ~= "none" and t ~= "{kind}" then '
            f'return redis.error_reply("RELAYTYPE {key} is a " .. t) end end'
            for key, kind in keys
            if kind != "channel" and not kind.endswith("?")  # which is checked where it is used
        ),
        *_argument_checks(args, each, numbers),
    ]
    if args:
        prelude.append(
            f"local {', '.join(args)} = " + ", ".join(f"ARGV[{i}]" for i in range(1, len(args) + 1))
        )
    if extra:
        prelude.append(
            f"local extra_keys = {{}} for i = {len(names) + 1}, #KEYS do extra_keys[#extra_keys + 1] = KEYS[i] end"
        )
    if each:
        values = ", ".join(f"ARGV[i + {offset}]" for offset in range(len(each)))
        prelude.append(
            f"local argc = #ARGV local function each() local i = {len(args) + 1 - len(each)} "
            f"return function() i = i + {len(each)} if i <= argc then return {values} end end end"
        )
    parts = [shebang, *prelude, *(part.code for part in needed(body, _pieces(body, library))), body]

    def script(source: str, many: Script | None = None) -> Script:
        sha = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
        return Script(
            name=name, source=source, sha=sha, keys=names, args=args, each=each, extra_keys=extra, many=many
        )

    if not re.search(r"^-- @many$", body, re.MULTILINE):
        return script("\n".join(parts))
    return script("\n".join(parts), script(_for_many(parts, len(names), len(args))))


def _pieces(text: str, library: dict[str, str]) -> list[str]:
    """The texts of the pieces of lib/ that a text uses, each behind those that it uses itself."""
    found: list[str] = []
    for name in " ".join(re.findall(r"^-- @use ([\w ]+)$", text, re.MULTILINE)).split():
        piece = library[name]
        found += [one for one in (*_pieces(piece, library), piece) if one not in found]
    return found


def _for_many(parts: Sequence[str], keys: int, args: int) -> str:
    """The script as a function that is called for each of many queues. One that fails has its error as its reply."""
    shebang, *body = parts
    return "\n".join(
        (
            shebang,
            "local function one(KEYS, ARGV)",
            *body,
            "end",
            "local function part(list, number, size)",
            "  local found = {} for i = 1, size do found[i] = list[number * size + i] end return found",
            "end",
            "local replies = {}",
            f"for number = 0, #KEYS / {keys} - 1 do",
            f"  local ok, reply = pcall(one, part(KEYS, number, {keys}), part(ARGV, number, {args}))",
            '  if not ok and type(reply) ~= "table" then reply = redis.error_reply(tostring(reply)) end',
            "  replies[number + 1] = reply",
            "end",
            "return replies",
        )
    )


def _argument_checks(args: tuple[str, ...], each: tuple[str, ...], numbers: Sequence[str]) -> list[str]:
    """Lua that refuses arguments on which a script would fail half-way. A number marked ? may be "", + is >= 1."""
    marks = {number.rstrip("?+"): number[len(number.rstrip("?+")) :] for number in numbers}
    surplus = f"(#ARGV - {len(args)}) % {len(each)} ~= 0" if each else f"#ARGV > {len(args)}"
    checks = [
        f'if #ARGV < {len(args)} or {surplus} then return redis.error_reply("RELAYARG not all are given") end'
    ]
    checks += [
        _number_check(name, f"ARGV[{i}]", marks[name]) for i, name in enumerate(args, 1) if name in marks
    ]
    inner = [
        _number_check(name, f"ARGV[i + {i}]", marks[name]) for i, name in enumerate(each) if name in marks
    ]
    if inner:
        checks.append(f"for i = {len(args) + 1}, #ARGV, {len(each)} do {' '.join(inner)} end")
    return checks


def _number_check(name: str, value: str, marks: str) -> str:
    empty = f'{value} == "" or ' if "?" in marks else ""
    least = "1" if "+" in marks else "-2^53"
    return (
        f"do local n = tonumber({value}) if not ({empty}(n and n >= {least} and n <= 2^53)) then "
        f'return redis.error_reply("RELAYARG {name} is not a number that fits") end end'
    )


_TAGS = {"key", "keys", "arg", "each", "number", "many", "returns", "use"}


def _check_header(name: str, shebang: str, body: str, library: dict[str, str]) -> None:
    """Raises ValueError for a header that the loader would read as something else than it says."""

    def words(tag: str) -> list[str]:
        return " ".join(re.findall(rf"^-- @{tag} ([\w?+ ]+)$", body, re.MULTILINE)).split()

    args = re.findall(r"^-- @arg (\w+)", body, re.MULTILINE)
    keys = re.findall(r"^-- @key (\w+) +(\w+)\??", body, re.MULTILINE)
    names = [*args, *words("each")]
    wrong = [
        f"unknown tag @{tag}" for tag in re.findall(r"^-- @(\w*)", body, re.MULTILINE) if tag not in _TAGS
    ]
    if not shebang.startswith("#!lua"):
        wrong.append("the first line is not #!lua")
    if "\n-- @returns " not in "\n" + body:
        wrong.append("@returns is missing")
    wrong += [f"@use {piece}: no such file in lib" for piece in words("use") if piece not in library]
    wrong += [f"@number {n}: no such @arg or @each" for n in words("number") if n.rstrip("?+") not in names]
    wrong += [f"@key {key}: not zset, hash or channel" for key, kind in keys if kind not in _KEY_KINDS]
    wrong += [f"{n} is declared twice" for n in sorted(set(names)) if names.count(n) > 1]
    declared = {key for key, _ in keys}
    if all(piece in library for piece in words("use")):
        named = touched([body, *(part.code for part in needed(body, _pieces(body, library)))])
        wrong += [f"key.{key} has no @key" for key in sorted(named - declared)]
        wrong += [f"@key {key}: nothing touches it" for key in sorted(declared - named)]
    malformed = [
        line
        for line in re.findall(r"^-- @(?:key|arg|each|number|many|use)\b.*", body, re.MULTILINE)
        if not _WELL_FORMED.match(line)
    ]
    wrong += [f"cannot be read: {line}" for line in malformed]
    if "many" in re.findall(r"^-- @(\w*)", body, re.MULTILINE) and re.search(
        r"^-- @(each|keys)\b", body, re.MULTILINE
    ):
        wrong.append("@many wants as many keys and arguments for each queue, so neither @each nor @keys")
    if wrong:
        raise ValueError(f"{name}.lua: " + "; ".join(wrong))


_KEY_KINDS = {"zset", "hash", "channel"}
_WELL_FORMED = re.compile(r"-- @(key \w+ +\w+|arg \w+|(each|use) [\w ]+$|number [\w?+ ]+$|many$)")


def store_clock() -> str:
    """No injected time: scripts read the store's own clock."""
    return ""


class ScriptRunner:
    """Runs scripts by EVALSHA. `clock` and `seed` give what scripts take for the time and for chance.

    A script is sent once: redis-py's own retries are off, and only NOSCRIPT, which says that nothing ran, is
    repeated here.
    """

    def __init__(
        self,
        link: Link,
        *,
        observe: Observer | None = None,
        clock: Callable[[], str] = store_clock,
        seed: Callable[[], int] = lambda: random.getrandbits(31),
        timer: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.clock = clock
        self.seed = seed
        self._link = link
        self._observe = observe
        self._timer = timer
        self._scripts = load_scripts()
        self._apart = link.router.sharded

    async def load(self) -> None:
        """Puts all scripts into the cache of every primary."""
        try:
            await self._link.execute_everywhere(
                [
                    ("SCRIPT", "LOAD", source)
                    for script in self._scripts.values()
                    for source in _sources(script)
                ]
            )
        except FAILURES as error:
            raise domain_error(error) from error

    async def command(self, name: str, key: bytes, *words: Arg) -> Any:
        """The reply to a plain command on one key, for what needs no script. Raises as `run` does."""
        try:
            return await self._link.execute(name, key, *words, key=key)
        except FAILURES as error:
            raise domain_error(error) from error

    async def run(
        self,
        name: str,
        keys: dict[str, bytes],
        args: Sequence[Arg],
        *,
        extra_keys: Sequence[bytes] = (),
        jobs: int = 1,
    ) -> list[bytes]:
        """The script's reply. Raises a domain error; StoreUnavailable means the outcome is unknown."""
        script = self._scripts[name]
        key_list = [keys[key] for key in script.keys]
        command = ("EVALSHA", script.sha, len(key_list) + len(extra_keys), *key_list, *extra_keys, *args)
        try:
            return await self._run(script, command, key_list[0], jobs=jobs)
        except Exception as error:
            raise _damage(error, keys) or domain_error(error) from error

    async def run_many(
        self,
        name: str,
        queues: Sequence[str],
        args: Callable[[], Sequence[Arg]],
        read: Callable[[str, list[bytes]], T],
    ) -> list[T | Exception]:
        """What `read` makes of each queue's reply, or the queue's domain error. Raises nothing.

        One call of a script marked `@many` does for all, unless keys of two queues may be on different nodes.
        `args` gives those of one queue.
        """
        asked = [(queue_keys(queue), args()) for queue in queues]
        return [
            reply if isinstance(reply, Exception) else read(queue, reply)
            for queue, reply in zip(queues, await self._replies(name, asked), strict=True)
        ]

    async def _replies(
        self, name: str, queues: Sequence[tuple[dict[str, bytes], Sequence[Arg]]]
    ) -> list[list[bytes] | Exception]:
        script = self._scripts[name].many
        assert script is not None, f"{name}.lua is not marked @many"
        if not self._apart and len(queues) > 1:
            try:
                return await self._run_many(script, queues)
            except redis_errors.ClusterCrossSlotError:
                self._apart = True  # a cluster behind one address
            except Exception as error:  # noqa: BLE001 - each queue gets it
                return [domain_error(error)] * len(queues)
        return await tasks.each(
            queues, lambda queue: self._run_or_error(name, *queue), at_once=_APART_AT_ONCE
        )

    async def _run_many(
        self, script: Script, queues: Sequence[tuple[dict[str, bytes], Sequence[Arg]]]
    ) -> list[list[bytes] | Exception]:
        key_list = [keys[key] for keys, _ in queues for key in script.keys]
        args = [arg for _, mine in queues for arg in mine]
        command = ("EVALSHA", script.sha, len(key_list), *key_list, *args)
        replies: list[Any] = await self._run(script, command, key_list[0], jobs=len(queues))
        return [
            (_damage(reply, keys) or domain_error(reply)) if isinstance(reply, Exception) else reply
            for reply, (keys, _) in zip(replies, queues, strict=True)
        ]

    async def _run_or_error(
        self, name: str, keys: dict[str, bytes], args: Sequence[Arg]
    ) -> list[bytes] | Exception:
        try:
            return await self.run(name, keys, args)
        except Exception as error:  # noqa: BLE001 - the caller gets it
            return error

    async def _run(self, script: Script, command: tuple[Arg, ...], key: bytes, *, jobs: int) -> list[bytes]:
        started = self._timer()
        try:
            for _ in range(_LOADS_MAX):
                try:
                    reply: list[bytes] = await self._link.execute(*command, key=key)
                except redis_errors.NoScriptError:  # a new primary, or a slot that came to one
                    await self._link.execute("SCRIPT", "LOAD", script.source, key=key)
                else:
                    return reply
        finally:
            if self._observe is not None:
                self._observe(script.name, self._timer() - started, jobs)
        raise errors.StoreUnavailable("Redis forgets its scripts", retry_after_ms=_RETRY_AFTER_MS)


def _sources(script: Script) -> list[str]:
    return [script.source, *(() if script.many is None else (script.many.source,))]


# Replies by which Redis says that it cannot serve now. Texts differ between servers, codes do not.
_UNAVAILABLE = (
    "LOADING",
    "READONLY",
    "MASTERDOWN",
    "MISCONF",
    "BUSY",
    "CLUSTERDOWN",
    "NOREPLICAS",
    "TRYAGAIN",
    "UNBLOCKED",
)
_REFUSED = (
    redis_errors.ReadOnlyError,
    redis_errors.BusyLoadingError,
    redis_errors.TryAgainError,
    redis_errors.ClusterDownError,
    redis_errors.MasterDownError,
)
_RETRY_AFTER_MS = 500


_WRONG_TYPE = re.compile(r"RELAYTYPE (\w+) is a (\w+)")


def _damage(error: Exception, keys: dict[str, bytes]) -> errors.WrongState | None:
    """What a script's check of types says, with the way out."""
    found = _WRONG_TYPE.search(str(error))
    if found is None:
        return None
    name, kind = found.groups()
    key = keys[name].decode()
    whose = "this queue" if name in QUEUE_KEYS else "the whole store"
    return errors.WrongState(
        f"{name} of {whose} is a {kind}, which Relay never stores there. Move it out of the way: "
        f"redis-cli RENAME '{key}' 'damaged:{key}'",
        metadata={"key": key},
    )


def domain_error(error: Exception) -> Exception:
    """Redis' error as the domain knows it; an unexpected one stays what it is."""
    if isinstance(error, errors.RelayError):
        return error
    if isinstance(error, redis_errors.OutOfMemoryError) or str(error).startswith("OOM"):
        return errors.StoreOutOfMemory(retry_after_ms=_RETRY_AFTER_MS)
    lost = is_lost_connection(error)
    refused = isinstance(error, _REFUSED)
    if lost or refused or str(error).startswith(_UNAVAILABLE):
        return errors.StoreUnavailable(f"Redis: {type(error).__name__}", retry_after_ms=_RETRY_AFTER_MS)
    return error
