"""Loads the Lua scripts, binds their names to KEYS and ARGV, and runs them pipelined on one connection."""

import asyncio
import hashlib
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, Protocol

import structlog
from redis import exceptions as redis_errors
from redis.asyncio import Redis

from relay_server import errors

_log = structlog.get_logger(__name__)

PIPELINE_SCRIPTS_MAX = 64

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


class Observer(Protocol):
    """Hears what each script call cost."""

    def __call__(self, script: str, seconds: float, jobs: int) -> None: ...


def load_scripts() -> dict[str, Script]:
    """All scripts of the package, by name."""
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
    keys = re.findall(r"^-- @key (\w+) +(\w+)", body, re.MULTILINE)
    args = tuple(re.findall(r"^-- @arg (\w+)", body, re.MULTILINE))
    each = tuple(" ".join(re.findall(r"^-- @each ([\w ]+)$", body, re.MULTILINE)).split())
    extra = bool(re.search(r"^-- @keys ", body, re.MULTILINE))
    used = " ".join(re.findall(r"^-- @use ([\w ]+)$", body, re.MULTILINE)).split()
    names = tuple(key for key, _ in keys)
    prelude = [
        "local key = {" + ", ".join(f"{key} = KEYS[{i}]" for i, key in enumerate(names, 1)) + "}",
        # A key of a wrong type would fail half-way through the writes; scripts have no rollback.
        *(
            f'do local t = redis.call("TYPE", key.{key}).ok if t ~= "none" and t ~= "{kind}" then '
            f'return redis.error_reply("RELAYTYPE {key} is a " .. t) end end'
            for key, kind in keys
            if kind != "channel"
        ),
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
    parts = [shebang, *prelude, *(library[piece] for piece in used), body]
    source = "\n".join(parts)
    return Script(
        name=name,
        source=source,
        sha=hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest(),
        keys=names,
        args=args,
        each=each,
        extra_keys=extra,
    )


class ScriptRunner:
    """Runs scripts by EVALSHA on one connection; what is asked while a pipeline is under way goes with the next.

    A script is sent once: redis-py's own retries are off, and only NOSCRIPT, which says that nothing ran, is
    repeated here.
    """

    def __init__(
        self,
        client: Redis,
        *,
        observe: Observer | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._client = client
        self._observe = observe
        self._clock = clock
        self._scripts = load_scripts()
        self._waiting: list[tuple[Script, tuple[Any, ...], int, asyncio.Future[list[bytes]]]] = []
        self._pump: asyncio.Task[None] | None = None

    async def load(self) -> None:
        """Puts all scripts into the server's cache."""
        try:
            pipe = self._client.pipeline(transaction=False)
            for script in self._scripts.values():
                pipe.script_load(script.source)
            await pipe.execute()
        except (redis_errors.RedisError, OSError) as error:
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
        future: asyncio.Future[list[bytes]] = asyncio.get_running_loop().create_future()
        self._waiting.append((script, command, jobs, future))
        if self._pump is None:
            self._pump = asyncio.create_task(self._run(), name="scripts")
        return await future

    async def _run(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = (
                    self._waiting[:PIPELINE_SCRIPTS_MAX],
                    self._waiting[PIPELINE_SCRIPTS_MAX:],
                )
                await self._send(batch)
        finally:
            self._pump = None

    async def _send(
        self, batch: list[tuple[Script, tuple[Any, ...], int, asyncio.Future[list[bytes]]]]
    ) -> None:
        started = self._clock()
        try:
            replies = await self._pipeline([command for _, command, _, _ in batch])
            missing = [i for i, reply in enumerate(replies) if isinstance(reply, redis_errors.NoScriptError)]
            if missing:
                await self.load()
                again = await self._pipeline([batch[i][1] for i in missing])
                for i, reply in zip(missing, again, strict=True):
                    replies[i] = reply
        except Exception as error:  # noqa: BLE001 - every waiting caller gets it
            replies = [error] * len(batch)
        seconds = self._clock() - started
        for (script, _, jobs, future), reply in zip(batch, replies, strict=True):
            if self._observe is not None:
                self._observe(script.name, seconds, jobs)
            if future.done():
                continue
            if isinstance(reply, Exception):
                future.set_exception(domain_error(reply))
            else:
                future.set_result(reply)

    async def _pipeline(self, commands: list[tuple[Any, ...]]) -> list[Any]:
        pipe = self._client.pipeline(transaction=False)
        for command in commands:
            pipe.execute_command(*command)
        return list(await pipe.execute(raise_on_error=False))


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
_RETRY_AFTER_MS = 500


def domain_error(error: Exception) -> Exception:
    """Redis' error as the domain knows it; an unexpected one stays what it is."""
    if isinstance(error, errors.RelayError):
        return error
    if isinstance(error, redis_errors.OutOfMemoryError) or str(error).startswith("OOM"):
        return errors.StoreOutOfMemory(retry_after_ms=_RETRY_AFTER_MS)
    lost = isinstance(error, redis_errors.ConnectionError | redis_errors.TimeoutError | OSError)
    refused = isinstance(
        error, redis_errors.ReadOnlyError | redis_errors.BusyLoadingError | redis_errors.TryAgainError
    )
    if lost or refused or str(error).startswith(_UNAVAILABLE):
        return errors.StoreUnavailable(f"Redis: {type(error).__name__}", retry_after_ms=_RETRY_AFTER_MS)
    return error
