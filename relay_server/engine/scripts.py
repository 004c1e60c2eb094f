"""Runs the Lua scripts where their keys are: calls by name, replies by name."""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from redis import exceptions as redis_errors

from relay_server import errors, tasks
from relay_server.engine.batching import JOBS_MAX
from relay_server.engine.domain_errors import RETRY_AFTER_MS, domain_error, wrong_type
from relay_server.engine.keys import queue_keys
from relay_server.engine.lua_script import Arg, Row, Script, load_scripts
from relay_server.storage.failures import FAILURES
from relay_server.storage.link import Link

# What one script looks at when it looks at many queues: each costs about as much as an ack.
MANY_QUEUES = 32
_APART_AT_ONCE = 16  # queues that are asked each by itself
_LOADS_MAX = 4  # a slot may move between a load and the call behind it

T = TypeVar("T")


class Observer(Protocol):
    """Hears what each script call cost."""

    def __call__(self, script: str, seconds: float, jobs: int) -> None: ...


def store_clock(key: bytes) -> str:
    """No injected time: a script reads the clock of the node that runs it."""
    return ""


class ScriptRunner:
    """Runs scripts by EVALSHA. `clock` and `seed` give what scripts take for the time and for chance.

    A script runs once at most: redis-py's own retries are off, NOSCRIPT, which says that nothing ran, is repeated here,
    and Link sends again what a node redirected.
    """

    def __init__(
        self,
        link: Link,
        *,
        observe: Observer | None = None,
        clock: Callable[[bytes], str] = store_clock,
        seed: Callable[[], int] = lambda: random.getrandbits(31),
        timer: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.clock = clock
        self.seed = seed
        self._link = link
        self._observe = observe
        self._timer = timer
        self._scripts: Mapping[str, Script] = load_scripts()
        self._apart = link.router.sharded

    async def load(self) -> None:
        """Puts all scripts into the cache of every primary."""
        try:
            await self._link.execute_everywhere(
                [("SCRIPT", "LOAD", source) for one in self._scripts.values() for source in one.sources]
            )
        except FAILURES as error:
            raise domain_error(error) from error

    async def command(self, name: str, key: bytes, *words: Arg) -> Any:
        """The reply to a plain command on one key, for what needs no script. Raises as `run` does."""
        try:
            return await self._link.execute(name, key, *words, key=key)
        except FAILURES as error:
            raise domain_error(error) from error

    async def call(
        self,
        name: str,
        queue: str,
        /,
        *,
        rows: Sequence[Row] = (),
        extra_keys: Sequence[bytes] = (),
        jobs: int | None = None,
        **args: Any,
    ) -> Any:
        """Runs a script on a queue. See `call_on`."""
        keys = queue_keys(queue)
        return await self.call_on(name, keys, rows=rows, extra_keys=extra_keys, jobs=jobs, **args)

    async def call_on(
        self,
        name: str,
        keys: dict[str, bytes],
        /,
        *,
        rows: Sequence[Row] = (),
        extra_keys: Sequence[bytes] = (),
        jobs: int | None = None,
        **args: Any,
    ) -> Any:
        """Runs a script with the arguments that its header names, and returns its reply by name: `Script.read`.

        `now` and `seed` are given here. Raises a domain error; StoreUnavailable means the outcome is unknown.
        """
        script = self._scripts[name]
        argv = script.argv(self._filled(script, keys), args, rows)
        jobs = len(rows) or 1 if jobs is None else jobs
        return script.read(await self.run(name, keys, argv, extra_keys=extra_keys, jobs=jobs))

    async def in_chunks(self, name: str, queue: str, rows: Sequence[Row], **args: Any) -> int:
        """Calls the script until it looked at all rows. Returns how many it did."""
        done = at = 0
        while at < len(rows):
            chunk = rows[at : at + JOBS_MAX]
            reply = await self.call(name, queue, rows=chunk, **args)
            done += int(reply.done)
            at += int(getattr(reply, "looked", len(chunk)))  # a script without it looks at every row
        return done

    def _filled(self, script: Script, keys: Mapping[str, bytes]) -> dict[str, Arg]:
        filled: dict[str, Arg] = {}
        if "now" in script.filled:
            filled["now"] = self.clock(keys[script.keys[0]])
        if "seed" in script.filled:
            filled["seed"] = self.seed()
        return filled

    async def run(
        self,
        name: str,
        keys: dict[str, bytes],
        args: Sequence[Arg],
        *,
        extra_keys: Sequence[bytes] = (),
        jobs: int = 1,
    ) -> list[bytes]:
        """The reply as it came, to arguments in the order of the header. Raises as `call_on` does."""
        script = self._scripts[name]
        key_list = [keys[key] for key in script.keys]
        command = ("EVALSHA", script.sha, len(key_list) + len(extra_keys), *key_list, *extra_keys, *args)
        try:
            return await self._run(script, command, key_list[0], jobs=jobs)
        except Exception as error:
            raise wrong_type(error, keys) or domain_error(error) from error

    async def call_many(
        self,
        name: str,
        queues: Sequence[str],
        read: Callable[[str, Any], T],
        **args: Arg,
    ) -> list[T | Exception]:
        """What `read` makes of each queue's reply, or the queue's domain error. Raises nothing.

        One call of a script marked `@many` does for all, unless keys of two queues may be on different nodes.
        """
        script = self._scripts[name]
        calls = [(keys, script.argv(self._filled(script, keys), args)) for keys in map(queue_keys, queues)]
        return [
            reply if isinstance(reply, Exception) else read(queue, script.read(reply))
            for queue, reply in zip(queues, await self._replies(name, calls), strict=True)
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
            (wrong_type(reply, keys) or domain_error(reply)) if isinstance(reply, Exception) else reply
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
        raise errors.StoreUnavailable("Redis forgets its scripts", retry_after_ms=RETRY_AFTER_MS)
