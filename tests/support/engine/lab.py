"""An engine on a real server, with what most tests do to it and what must hold after every one."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from redis.exceptions import MovedError, ResponseError

from relay_server.engine import (
    Engine,
    Names,
    Operations,
    ScriptRunner,
    Transitions,
    keys,
    make_engine,
    record,
)
from relay_server.engine.lua_script import Arg, Script
from relay_server.loops.renewer import Renewer
from relay_server.model import ClaimGroup, Enqueued, Finding, Lease, Nacked, NackedJob, NewJob, Record
from relay_server.words import EnqueueWord, LeaseWord, NackWord, State
from tests.support.engine.stored import audit, calls, check_keys, command, dump
from tests.support.engine.values import LEASE_MS, Clock, Taken, a_job, new_token
from tests.support.ids import new_queue
from tests.support.stores import Store

Reply = list[bytes]

# What a reaper that looked a moment ago left behind. A full Redis takes it, as it takes the reaper's own.
_LOOKED = """#!lua flags=allow-oom
local seen = redis.call("HGET", KEYS[1], "clock")
if seen and tonumber(seen) < ARGV[1] - 5000 then redis.call("HSET", KEYS[1], "clock", ARGV[1] - 1) end
"""


class Lab:
    """An engine on a real server, with time in the test's hand and a queue of its own.

    `heard` maps each script to what it replied, in order. However far a test moves the clock, a server looked at the
    queue just before; with `servers_away` nobody did.
    """

    def __init__(self, server: Store, *, seed: int | None = None) -> None:
        self.server = server
        self.link = server.link()
        self.raw = server.raw_client()
        self.clock = Clock()
        self.queue = new_queue()
        self.heard: dict[str, list[Reply]] = {}
        self.servers_away = False
        self.engine = self.another_engine("server-1", seed=seed)

    @property
    def transitions(self) -> Transitions:
        return self.engine.transitions

    @property
    def names(self) -> Names:
        return self.engine.names

    @property
    def ops(self) -> Operations:
        return self.engine.operations

    def another_engine(self, server_id: str, *, seed: int | None = None, **options: Any) -> Engine:
        """Another relay server on the same Redis, with the same clock. `seed` fixes its jitter."""
        seeds = {} if seed is None else {"seed": lambda: seed}
        return make_engine(_NotedScripts(self, clock=self.clock, **seeds), server_id=server_id, **options)

    async def renew_names(self) -> int:
        return await Renewer(self.names, self.ops).run_once()

    async def before(self, script: str, conf: bytes) -> None:
        """Called before each script on a queue."""
        if script in ("reap", "claim") and not self.servers_away:
            await self._looked(conf)

    async def _looked(self, conf: bytes) -> None:
        try:
            await self.command("EVAL", _LOOKED, 1, conf, self.clock.now_ms)
        except MovedError:  # a ResponseError, but the wrong node was asked
            raise
        except ResponseError:  # the store of this test may be read-only, or its keys damaged
            return

    async def aclose(self) -> None:
        await self.link.router.aclose()
        await self.raw.aclose()

    # --- steps that most tests take

    async def enqueue(self, *jobs: NewJob, request_id: bytes = b"") -> list[Enqueued]:
        return await self.engine.transitions.enqueue(self.queue, jobs, request_id=request_id)

    async def enqueued(self, *jobs: NewJob) -> list[bytes]:
        """The ids of jobs that were all created."""
        answers = await self.enqueue(*jobs)
        assert [answer.word for answer in answers] == [EnqueueWord.CREATED] * len(jobs)
        return [job.id for job in jobs]

    async def claim(
        self, jobs: int = 1, *, lease_ms: int = LEASE_MS, token: bytes | None = None, worker: str = "w"
    ) -> Taken:
        token = token or new_token()
        answer = await self.engine.transitions.claim(self.queue, [ClaimGroup(token, lease_ms, jobs, worker)])
        return Taken(token, answer.groups[0], answer)

    async def in_flight(self, job: NewJob | None = None, *, lease_ms: int = LEASE_MS) -> Lease:
        """A lease on one new job."""
        await self.enqueued(job or a_job())
        return (await self.claim(lease_ms=lease_ms)).lease

    async def ack(self, *leases: Lease) -> list[LeaseWord]:
        return [answer.word for answer in await self.engine.transitions.ack(self.queue, leases)]

    async def nack(
        self,
        lease: Lease,
        kind: NackWord = NackWord.RETRY,
        *,
        after_ms: int = -1,
        error_type: str = "ValueError",
        error: bytes = b"",
    ) -> Nacked:
        (answer,) = await self.engine.transitions.nack(
            self.queue, [NackedJob(lease.id, lease.token, kind, after_ms, error_type, error)]
        )
        return answer

    async def dead(self, job: NewJob | None = None, *, error_type: str = "ValueError") -> bytes:
        """The id of a new job that its worker rejected."""
        lease = await self.in_flight(job)
        answer = await self.nack(lease, NackWord.DEAD, error_type=error_type)
        assert answer.state == State.DEAD
        return lease.id

    async def script(
        self,
        name: str,
        *args: Arg,
        extra_keys: Sequence[bytes] = (),
        key_names: Mapping[str, bytes] | None = None,
    ) -> Reply:
        """One call of one script as it is, on this lab's queue. Times and seeds are the caller's to give."""
        queue_keys = {**keys.queue_keys(self.queue), **keys.NAMES_KEYS, **(key_names or {})}
        return await self.engine.scripts.run(name, queue_keys, args, extra_keys=extra_keys)

    # --- looking

    async def command(self, *words: Any) -> Any:
        """Any Redis command, past the engine."""
        return await command(self.raw, *words)

    async def calls(self) -> Counter[str]:
        return await calls(self.raw)

    def key(self, name: str) -> bytes:
        return keys.queue_keys(self.queue)[name]

    async def ids(self, index: str) -> list[bytes]:
        """The jobs of ready, delayed, inflight or dead, in its order."""
        found: list[bytes] = await self.command("ZRANGE", self.key(index), 0, -1)
        return found

    async def score(self, index: str, job_id: bytes) -> float | None:
        found = await self.command("ZSCORE", self.key(index), job_id)
        return None if found is None else float(found)

    async def where(self, job_id: bytes) -> str:
        """The name of the index that holds the job, or "gone"."""
        for index in ("ready", "delayed", "inflight", "dead"):
            if await self.score(index, job_id) is not None:
                return index
        return "gone"

    async def record(self, job_id: bytes) -> Record:
        raw = await self.command("HGET", self.key("state"), job_id)
        assert raw is not None, "no such job"
        return record.unpack_record(raw)

    async def counters(self) -> dict[str, int]:
        return (await self.ops.stats(self.queue)).counters

    async def dump(self, queue: str | None = None) -> dict[str, Any]:
        return await dump(self.raw, queue or self.queue)

    # --- what must hold after every test

    async def findings(self, queue: str) -> list[Finding]:
        """The audit of a queue, to its end."""
        return await audit(self.ops, queue)

    async def broken(self, queue: str) -> list[Finding]:
        """The findings, without the jobs that this test set aside by name."""
        found = await self.findings(queue)
        return [one for one in found if one.invariant != "UNREADABLE" or "set_aside" not in self.heard]

    async def check(self) -> None:
        """Fails when an invariant is broken in any queue on the server, or a key has no owner (I1, I2, I13)."""
        for queue in await check_keys(self.raw, drained=False):
            assert await self.broken(queue) == [], f"the audit of {queue}"

    async def check_drained(self) -> None:
        """Removes every job of every queue as an operator would, then looks for what was left behind (I13)."""
        for queue in await check_keys(self.raw, drained=False):
            await self._drain(queue)
        await check_keys(self.raw, drained=True)

    async def _drain(self, queue: str) -> None:
        index = keys.queue_keys(queue)
        while await self.ops.purge(queue, limit=500):
            pass
        while held := await self.command("ZRANGE", index["inflight"], 0, 499):
            await self.ops.cancel(queue, held)
            last = (await self.command("ZRANGE", index["inflight"], -1, -1, "WITHSCORES"))[1]
            self.clock.now_ms = max(self.clock.now_ms, int(float(last)))
            await self.engine.transitions.reap(queue)
        while dead := await self.command("ZRANGE", index["dead"], 0, 499):
            assert await self.ops.purge_dead(queue, dead, died_until_ms=1 << 52)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["Wakes"]:
        """Hears what is published on the queue's channel."""
        reader, writer = await asyncio.open_unix_connection(self.server.socket_of(self.key("wake")))
        try:
            channel = self.key("wake")
            writer.write(b"*2\r\n$10\r\nSSUBSCRIBE\r\n$%d\r\n%s\r\n" % (len(channel), channel))
            wakes = Wakes(reader, self)
            await wakes.subscribed()
            yield wakes
        finally:
            writer.close()
            await writer.wait_closed()


class _NotedScripts(ScriptRunner):
    """Runs scripts, and notes in its lab what each replied."""

    def __init__(self, lab: Lab, **options: Any) -> None:
        super().__init__(lab.link, **options)
        self._lab = lab

    async def run(
        self,
        name: str,
        keys: dict[str, bytes],
        args: Sequence[Arg],
        *,
        extra_keys: Sequence[bytes] = (),
        jobs: int = 1,
    ) -> Reply:
        await self._lab.before(name, keys.get("conf", b""))
        reply = await super().run(name, keys, args, extra_keys=extra_keys, jobs=jobs)
        self._lab.heard.setdefault(name, []).append(reply)
        return reply

    async def _run_many(self, script: Script, queues: Sequence[Any]) -> list[Any]:
        for mine, _ in queues:
            await self._lab.before(script.name, mine.get("conf", b""))
        replies = await super()._run_many(script, queues)
        heard = self._lab.heard.setdefault(script.name, [])
        heard.extend(reply for reply in replies if not isinstance(reply, Exception))
        return replies


class Wakes:
    """The messages of one queue's channel."""

    def __init__(self, reader: asyncio.StreamReader, lab: Lab) -> None:
        self._reader = reader
        self._lab = lab

    async def subscribed(self) -> None:
        assert (await self._push())[0] == b"ssubscribe"

    async def so_far(self) -> list[bytes]:
        """What was published since the last call. A message of our own shows where that ends."""
        await self._lab.command("SPUBLISH", self._lab.key("wake"), b"mark")
        heard: list[bytes] = []
        while (message := (await self._push())[2]) != b"mark":
            heard.append(message)
        return heard

    async def _push(self) -> list[bytes]:
        count = int((await self._reader.readline())[1:])
        parts: list[bytes] = []
        for _ in range(count):
            head = await self._reader.readline()
            if head.startswith(b"$"):
                parts.append((await self._reader.readexactly(int(head[1:]) + 2))[:-2])
            else:
                parts.append(head[1:-2])
        return parts
