"""One real Redis and the engines on it, driven step by step, with lost replies and kills; and all that it holds."""

import asyncio
import shutil
import struct
import tempfile
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import redis
from redis.asyncio import Redis

from relay_server import errors
from relay_server.engine import Engine, keys, make_engine, record
from relay_server.engine.lua_script import Arg, Script
from relay_server.engine.scripts import ScriptRunner
from relay_server.words import State
from tests.stateful.contents import Job, LastClaim
from tests.support.redis_server import RedisServer, link_to, start_server

QUEUE = "q"
SERVERS = ("s0", "s1")
START_MS = 1_700_000_000_000
# A key whose time to live the model has nearly used up must not go by real time while a test looks at it.
TTL_PAD_MS = 120_000
TTL_SLACK_MS = 30_000

T = TypeVar("T")


class Divergence(AssertionError):
    """Engine and model, or Redis and its invariants, do not agree."""


@dataclass(frozen=True, slots=True)
class Picture:
    """All that a queue's keys say. `ttl` is what Redis says, ms, by key; -1 is a key that stays for ever."""

    jobs: dict[bytes, Job]
    aside: set[bytes]
    keys: dict[str, tuple[bytes, bytes]]
    seen: set[bytes]
    claims: dict[str, LastClaim]
    conf: dict[str, float]
    counts: Counter[str]
    ttl: dict[bytes, int]


class _Runner(ScriptRunner):
    """Loses the next reply of a script on the queue when `lose_next` is set, and remembers the nonces of claims."""

    lose_next = False
    nonces: list[bytes]

    async def run(
        self,
        name: str,
        named_keys: dict[str, bytes],
        args: Sequence[Arg],
        *,
        extra_keys: Sequence[bytes] = (),
        jobs: int = 1,
    ) -> list[bytes]:
        if name == "claim":
            nonce = args[3]
            assert isinstance(nonce, bytes)
            self.nonces.append(nonce)
        reply = await super().run(name, named_keys, args, extra_keys=extra_keys, jobs=jobs)
        if self.lose_next and named_keys is not keys.NAMES_KEYS:
            self.lose_next = False
            raise errors.StoreUnavailable("the reply was lost")
        return reply


class World:
    """A Redis process with an append-only file, two engines, and a clock that only `now` moves."""

    def __init__(self, binary: Path) -> None:
        self._binary = binary
        self._folder = Path(tempfile.mkdtemp(prefix="relay-stateful-", dir="/tmp"))
        self._loop = asyncio.new_event_loop()
        self._server = self._start()
        self._reader = redis.Redis(unix_socket_path=self._server.socket)
        self._client: Redis | None = None
        self._scripts: dict[str, Script] | None = None
        self._seed: Callable[[], int] = int
        self.now = START_MS
        self.engines: dict[int, Engine] = {}
        self.runners: dict[int, _Runner] = {}

    def _start(self) -> RedisServer:
        # Without a sync: what was answered survives a kill of the process, which is all that happens here.
        return start_server(self._binary, "--appendonly", "yes", "--appendfsync", "no", folder=self._folder)

    def reset(self, scripts: dict[str, Script] | None = None) -> None:
        """An empty Redis and new engines; `scripts` stand in for the package's own."""
        self.await_(self._close_client())
        self._reader.config_set("maxmemory", 0)
        self._reader.flushall()
        self.now = START_MS
        seeds = iter(range(1, 1 << 31))
        self._client = self._server.client()
        self._seed = lambda: next(seeds)
        self._scripts = scripts
        self.engines, self.runners = {}, {}
        for server in range(len(SERVERS)):
            self.start_engine(server)

    def start_engine(self, server: int) -> None:
        """A server process that knows nothing of what the one of this name did."""
        assert self._client is not None
        link = link_to(self._client)
        runner = _Runner(link, clock=lambda key: str(self.now), seed=self._seed)
        if self._scripts is not None:
            runner._scripts = self._scripts
        runner.nonces = self.runners[server].nonces if server in self.runners else []
        self.runners[server] = runner
        self.engines[server] = make_engine(runner, server_id=SERVERS[server])

    def await_(self, coroutine: Coroutine[Any, Any, T]) -> T:
        try:
            return self._loop.run_until_complete(coroutine)
        except redis.ResponseError as error:
            raise Divergence(f"a script failed: {error}") from error

    def restart(self) -> None:
        """kill -9 and a start from the append-only file, which has all that was answered."""
        self._server.kill()
        self._server = self._start()
        assert self._client is not None
        self.await_(self._client.connection_pool.disconnect())
        self._reader.connection_pool.disconnect()

    def flush_scripts(self) -> None:
        self._reader.script_flush()

    def set_full(self, full: bool) -> None:
        self._reader.config_set("maxmemory", 1 if full else 0)

    def close(self) -> None:
        self.await_(self._close_client())
        self._reader.close()
        self._loop.close()
        self._server.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    async def _close_client(self) -> None:
        if self._client is not None:
            await self._client.aclose()
            await self._client.connection_pool.disconnect()

    # --- what Redis holds

    def set_ttl(self, key: bytes, left_ms: int) -> None:
        """Redis' clock is not the injected one: a key's end is moved along with it."""
        if left_ms <= 0:
            self._reader.delete(key)
        else:
            self._reader.pexpire(key, max(left_ms, TTL_PAD_MS))

    def set_clock(self, seen: float | None) -> None:
        """When a reaper last looked, which no rule has to play."""
        if seen is not None:
            self.await_(self._set_clock(f"{seen:.0f}"))

    async def _set_clock(self, seen: str) -> None:
        assert self._client is not None
        script = '#!lua flags=allow-oom\nredis.call("HSET", KEYS[1], "clock", ARGV[1])'
        await self._client.eval(script, 1, keys.queue_keys(QUEUE)["conf"].decode(), seen)

    def picture(self) -> Picture:
        """Everything Redis holds. Raises Divergence where its keys contradict each other or have no owner."""
        named = keys.queue_keys(QUEUE)
        pipe = self._reader.pipeline(transaction=False)
        for index in ("ready", "delayed", "inflight", "dead"):
            pipe.zrange(named[index], 0, -1, withscores=True)
        for name in ("body", "state", "error", "conf", "count", "claims", "unreadable"):
            pipe.hgetall(named[name])
        pipe.keys("*")
        *indexes, body, state, error, conf, count, claims, aside, names = pipe.execute()
        placed: dict[bytes, tuple[State, float]] = {}
        for where, index in zip(State, indexes, strict=True):
            for job_id, score in index:
                if job_id in placed:
                    raise Divergence(f"I1: {job_id.hex()} is {placed[job_id][0].name} and {where.name}")
                placed[job_id] = (where, score)
        for name, held in {"body": body, "state": state}.items():
            if held.keys() != placed.keys() | aside.keys() or placed.keys() & aside.keys():
                odd = [i.hex() for i in held.keys() ^ (placed.keys() ^ aside.keys())]
                raise Divergence(f"I2: {name} and the indexes disagree on {odd}")
        if error.keys() - placed.keys() - aside.keys():
            raise Divergence(f"I13: errors are kept of jobs that are gone: {error.keys() - placed.keys()}")
        jobs = {
            i: Job(*place, _record(state[i]), body[i], record.unpack_failures(error.get(i, b"")))
            for i, place in placed.items()
        }
        return Picture(
            jobs=jobs,
            aside=set(aside),
            **self._temporary(sorted(names), set(named.values())),
            claims={server.decode(): _last_claim(raw) for server, raw in claims.items()},
            conf={field.decode(): float(value) for field, value in conf.items()},
            counts=Counter({name.decode(): int(n) for name, n in count.items()}),
        )

    def _temporary(self, names: list[bytes], fixed: set[bytes]) -> dict[str, Any]:
        pipe = self._reader.pipeline(transaction=False)
        for name in names:
            pipe.pttl(name)
        ttl = dict(zip(names, pipe.execute(), strict=True))
        held = [name for name in names if name.startswith(keys.idempotency_key(QUEUE, ""))]
        seen = [name for name in names if name.startswith(keys.seen_key(QUEUE, b""))]
        strange = set(names) - fixed - set(held) - set(seen) - set(keys.NAMES_KEYS.values())
        if strange:
            raise Divergence(f"I2: keys without an owner: {strange}")
        values: list[Any] = self._reader.mget(held) if held else []
        prefix = len(keys.idempotency_key(QUEUE, "")), len(keys.seen_key(QUEUE, b""))
        return {
            "keys": {n[prefix[0] :].decode(): (v[:16], v[16:]) for n, v in zip(held, values, strict=True)},
            "seen": {name[prefix[1] :] for name in seen},
            "ttl": ttl,
        }

    def damage(self, job_id: bytes, change: Callable[[bytes], bytes]) -> None:
        """What is stored of a job becomes what no version of Relay writes."""
        key = keys.queue_keys(QUEUE)["state"]
        raw: Any = self._reader.hget(key, job_id)
        self._reader.hset(key, job_id, change(raw))

    def audit(self, damaged: set[bytes], aside: set[bytes]) -> None:
        """Raises Divergence unless the audit that operators run finds just these jobs."""
        found = set[bytes]()
        cursor: tuple[str, str, str] | None = None
        while True:
            page = self.await_(self.engines[0].operations.audit(QUEUE, cursor))
            for one in page.findings:
                expected = one.invariant == "UNREADABLE" and one.job_id in aside
                if not expected and not (one.job_id in damaged and "cannot be read" in one.detail):
                    raise Divergence(f"the audit finds {one}")
                found.add(one.job_id)
            cursor = page.cursor
            if cursor is None:
                break
        if found != damaged | aside:
            raise Divergence(f"the audit finds nothing wrong with {(damaged | aside) - found}")


def _record(raw: bytes) -> Any:
    try:
        return record.unpack_record(raw)
    except record.Unreadable:
        return None


def _last_claim(raw: bytes) -> LastClaim:
    at, groups = 24, []
    while at < len(raw):
        many = int.from_bytes(raw[at + 16 : at + 18], "little")
        ids = tuple(raw[at + 18 + 16 * i : at + 34 + 16 * i] for i in range(many))
        groups.append((raw[at : at + 16], ids))
        at += 18 + 16 * many
    return LastClaim(raw[:16], tuple(groups), int(struct.unpack("<d", raw[16:24])[0]))
