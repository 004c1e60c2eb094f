"""The queue engine: one method for each transition that producers, workers and loops use."""

import os
import random
import struct
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

from relay_server import errors, tasks
from relay_server.engine import keys, record
from relay_server.engine.batching import JOBS_MAX, Batcher
from relay_server.engine.names import NameLimits, Names
from relay_server.engine.roster import Roster
from relay_server.engine.scripts import Arg, Observer, ScriptRunner
from relay_server.model import (
    Acked,
    Claimed,
    ClaimedJob,
    ClaimGroup,
    Enqueued,
    EnqueueWord,
    Extended,
    Extension,
    Lease,
    LeaseWord,
    Nacked,
    NackedJob,
    NewJob,
    Swept,
)
from relay_server.storage.link import Link

RETRY_HORIZON_MS = 60_000
CLAIM_BYTES_MAX = 1 << 20
# What one script takes of nacks, and of leases or delayed jobs that are due: each costs several times what an ack does.
NACK_JOBS_MAX, NACK_BYTES_MAX, SWEEP_JOBS = 250, 128 << 10, 250
# What one script looks at when it looks at many queues: each costs about as much as an ack.
MANY_QUEUES = 32
# A row of the history may drop a day's old ones, 0.5 ms of a script.
MANY_HISTORIES = 4

_CLAIMED = struct.Struct("<HHHdd")
_REQUEST = struct.Struct("<HB")
_ENQUEUE_WORDS = {word.encode(): word for word in EnqueueWord}
_LEASE_WORDS = {word.encode(): word for word in LeaseWord}
_Request = TypeVar("_Request")
_Result = TypeVar("_Result")


class _EnqueueRequest(NamedTuple):
    request_id: bytes
    jobs: Sequence[NewJob]


class _ExtendRequest(NamedTuple):
    lease_ms: int
    leases: Sequence[Extension]


def store_clock() -> str:
    """No injected time: scripts read the store's own clock."""
    return ""


class Engine:
    """Every transition, batched where callers are many. Ids and tokens are 16 bytes, times ms by the store's clock.

    Any method raises StoreUnavailable when the outcome is unknown; asking again is always safe.
    """

    def __init__(
        self,
        link: Link,
        *,
        server_id: str,
        clock: Callable[[], str] = store_clock,
        observe: Observer | None = None,
        observe_batch: Callable[[str, int], None] = lambda op, jobs: None,
        seed: Callable[[], int] = lambda: random.getrandbits(31),
        name_limits: NameLimits | None = None,
        first_settings: Callable[[str], Mapping[str, float]] = lambda queue: {},
    ) -> None:
        self.server_id = server_id
        self.scripts = ScriptRunner(link, observe=observe)
        self.roster = Roster(self.scripts, clock)
        self.clock = clock
        self.names = Names(
            self.scripts, limits=name_limits or NameLimits(), store_clock=clock, begin=self.begin
        )
        self._first_settings = first_settings
        self._observe_batch = observe_batch
        self._seed = seed
        self._batchers: dict[tuple[str, str], Batcher[Any, Any]] = {}
        self._lost_claims: dict[str, bytes] = {}

    # --- producers

    async def enqueue(
        self, queue: str, jobs: Sequence[NewJob], *, request_id: bytes = b"", owner: str = ""
    ) -> list[Enqueued]:
        """(nothing) -> ready or delayed. One answer a job; a request applied before is answered as it was then.

        `owner` makes the queue when it is new. Raises QuotaExceeded.
        """
        if not self.names.trusts(queue):
            await self.names.enter(queue, owner)
        size = sum(len(job.body) for job in jobs)
        return await self._batched(
            "enqueue", queue, self._enqueue, _EnqueueRequest(request_id, jobs), len(jobs), size
        )

    async def _enqueue(self, queue: str, requests: list[_EnqueueRequest]) -> list[list[Enqueued]]:
        extra = [keys.seen_key(queue, r.request_id) for r in requests if r.request_id]
        jobs = [job for r in requests for job in r.jobs]
        args: list[Arg] = [
            self.clock(),
            RETRY_HORIZON_MS,
            b"".join(_REQUEST.pack(len(r.jobs), bool(r.request_id)) for r in requests),
        ]
        for job in jobs:
            placing = record.NO_KEY
            if job.key:
                extra.append(keys.idempotency_key(queue, job.key))
                placing = record.pack_key(len(extra), job.window_ms, job.content_hash)
            args += (job.id, job.plan + placing, job.tail, job.body)
        reply = await self._run("enqueue", queue, args, extra_keys=extra, jobs=len(jobs))
        answers = [Enqueued(job.id, EnqueueWord.CREATED) for job in jobs]
        for i in range(1, len(reply), 3):
            number = int(reply[i])
            answers[number] = Enqueued(reply[i + 2] or jobs[number].id, _ENQUEUE_WORDS[reply[i + 1]])
        results: list[list[Enqueued]] = []
        at = 0
        for r in requests:
            results.append(answers[at : at + len(r.jobs)])
            at += len(r.jobs)
        return results

    # --- workers

    async def claim(self, queue: str, groups: Sequence[ClaimGroup]) -> Claimed:
        """ready -> inflight, at most as many as the groups ask for; not batched: one dispatcher claims for a queue.

        A claim whose reply was lost is taken back before the next one, so its jobs wait for no lease to run out.
        """
        await self.keep_known(queue)
        await self.take_back_lost(queue)
        nonce = os.urandom(16)
        args: list[Arg] = [self.clock(), self._seed(), self.server_id, nonce, CLAIM_BYTES_MAX]
        for group in groups:
            args += group
        try:
            reply = await self._run("claim", queue, args, jobs=sum(group.jobs for group in groups))
        except errors.StoreUnavailable:
            self._lost_claims[queue] = nonce
            raise
        given: list[list[ClaimedJob]] = [[] for _ in groups]
        for i in range(7, len(reply), 3):
            number, attempt, max_attempts, epoch, waited = _CLAIMED.unpack(reply[i + 1])
            given[number].append(
                ClaimedJob(reply[i], attempt, max_attempts, int(epoch), int(waited), reply[i + 2])
            )
        return Claimed(reply[0].decode(), int(reply[1]), reply[2] == b"1", int(reply[3]), given)

    async def take_back_lost(self, queue: str) -> None:
        """inflight -> ready: what a claim took whose outcome is unknown, if there is such a claim."""
        while nonce := self._lost_claims.get(queue):
            self.names.touch(queue)
            await self._run("unclaim", queue, [self.server_id, nonce])
            if self._lost_claims.get(queue) == nonce:  # no later one was lost meanwhile
                del self._lost_claims[queue]

    async def ack(self, queue: str, leases: Sequence[Lease]) -> list[Acked]:
        """inflight -> (gone)."""
        return await self._batched("ack", queue, self._ack, leases, len(leases))

    async def _ack(self, queue: str, requests: list[Sequence[Lease]]) -> list[list[Acked]]:
        self.names.touch(queue)
        args: list[Arg] = [self.clock()]
        for leases in requests:
            for lease in leases:
                args += lease
        reply = await self._run("ack", queue, args, jobs=len(args) // 2)
        answers = [Acked(_LEASE_WORDS[reply[i]], int(reply[i + 1] or -1)) for i in range(0, len(reply), 2)]
        return _split(answers, requests)

    async def nack(self, queue: str, jobs: Sequence[NackedJob]) -> list[Nacked]:
        """inflight -> delayed, ready or dead."""
        return await self._batched(
            "nack", queue, self._nack, jobs, len(jobs), sum(len(job.error) for job in jobs)
        )

    async def _nack(self, queue: str, requests: list[Sequence[NackedJob]]) -> list[list[Nacked]]:
        self.names.touch(queue)
        jobs = [job for request in requests for job in request]
        answers: list[Nacked] = []
        while len(answers) < len(jobs):  # long errors go in several scripts
            rest = _fitting(jobs, len(answers))
            args: list[Arg] = [self.clock(), self._seed()]
            for job in rest:
                after: Arg = job.after_ms if job.after_ms >= 0 else ""
                args += (job.id, job.token, job.kind.value, after, job.error_type, job.error)
            reply = await self._run("nack", queue, args, jobs=len(rest))
            answers += [
                Nacked(_LEASE_WORDS[reply[i]], int(reply[i + 1]), int(reply[i + 2]))
                for i in range(0, len(reply), 3)
            ]
        return _split(answers, requests)

    async def extend(self, queue: str, leases: Sequence[Extension], *, lease_ms: int = 0) -> list[Extended]:
        """inflight -> inflight, later deadline; `lease_ms` 0 keeps the length of each lease."""
        request = _ExtendRequest(lease_ms, leases)
        return await self._batched(f"extend {lease_ms}", queue, self._extend, request, len(leases))

    async def _extend(self, queue: str, requests: list[_ExtendRequest]) -> list[list[Extended]]:
        self.names.touch(queue)
        args: list[Arg] = [self.clock(), requests[0].lease_ms or ""]
        for request in requests:
            for e in request.leases:
                args += (e.id, e.token, e.fraction if e.fraction >= 0 else "", e.note)
        reply = await self._run("extend", queue, args, jobs=len(args) // 4)
        answers = [Extended(_LEASE_WORDS[reply[i]], int(reply[i + 1])) for i in range(0, len(reply), 2)]
        return _split(answers, [request.leases for request in requests])

    # --- the server's own care for leases

    async def release(self, queue: str, leases: Sequence[Lease]) -> int:
        """inflight -> ready at the old place: jobs that were claimed and not delivered. Returns how many."""
        return await self._in_chunks("release", queue, [], leases)

    async def set_aside(self, queue: str, leases: Sequence[Lease]) -> int:
        """inflight -> set aside: jobs that were claimed and whose body cannot be read. Returns how many."""
        return await self._in_chunks("set_aside", queue, [], leases)

    async def abandon(self, queue: str, leases: Sequence[Lease], *, since_ms: int) -> int:
        """Ends leases that were not renewed since their stream ended. Returns how many."""
        total = 0
        at = 0
        self.names.touch(queue)
        while at < len(leases):
            chunk = leases[at : at + JOBS_MAX]
            args: list[Arg] = [self.clock(), self._seed(), since_ms]
            for lease in chunk:
                args += lease
            ended, looked = await self._run("abandon", queue, args, jobs=len(chunk))
            total, at = total + int(ended), at + int(looked)
        return total

    async def held(self, queue: str, leases: Sequence[Lease]) -> tuple[int, list[LeaseWord]]:
        """The store's time, and which of these leases are current. Changes nothing."""
        now, words = 0, list[LeaseWord]()
        for chunk in tasks.chunks(leases, JOBS_MAX):
            args: list[Arg] = [self.clock()]
            for lease in chunk:
                args += lease
            reply = await self._run("held", queue, args, jobs=len(chunk))
            now = int(reply[0])
            words += [_LEASE_WORDS[word] for word in reply[1:]]
        return now, words

    # --- loops

    async def reap(self, queue: str, *, limit: int = SWEEP_JOBS) -> Swept:
        """Ends up to `limit` leases whose deadline has passed."""
        return self._moved(queue, await self._run("reap", queue, [self.clock(), self._seed(), limit]))

    async def promote(self, queue: str, *, limit: int = SWEEP_JOBS) -> Swept:
        """Makes up to `limit` due jobs ready."""
        return self._moved(queue, await self._run("promote", queue, [self.clock(), limit]))

    async def reap_many(self, queues: Sequence[str]) -> list[Swept | Exception]:
        """Looks at up to `MANY_QUEUES` queues, and ends up to one lease of each. Raises nothing."""
        return await self.scripts.run_many(
            "reap", queues, lambda: [self.clock(), self._seed(), 1], self._moved
        )

    async def promote_many(self, queues: Sequence[str]) -> list[Swept | Exception]:
        """Looks at up to `MANY_QUEUES` queues, and makes up to one job of each ready. Raises nothing."""
        return await self.scripts.run_many("promote", queues, lambda: [self.clock(), 1], self._moved)

    def _moved(self, queue: str, reply: list[bytes]) -> Swept:
        """A queue in which a loop moved something is in use: everyone looks at it again."""
        swept = _swept(reply)
        if swept.taken or swept.buried:
            self.names.touch(queue)
        return swept

    # --- names

    async def begin(self, queue: str, *, again: bool = False) -> None:
        """Gives a new queue the settings that its name says. `again`: one that was forgotten a moment ago."""
        settings = self._first_settings(queue)
        if not settings:
            return
        with suppress(errors.WrongState):  # a damaged queue is not new, and what is done with it says so
            await self._run("begin", queue, ["1" if again else "0", *_pairs(settings)])

    async def enter(self, queues: Iterable[str], *, owner: str = "") -> None:
        """Makes all of them known, or none. Raises QuotaExceeded."""
        await self.names.enter_all(queues, owner)

    async def keep_known(self, queue: str) -> None:
        """What is claimed from or changed is known, and stays it. No quota stops who was let in before."""
        if not self.names.trusts(queue):
            await self.names.enter_all([queue], limited=False)

    async def renew_names(self) -> int:
        """Notes which queues are in use. Returns how many were forgotten meanwhile and hold jobs.

        Those are known again.
        """
        found = 0
        for queue in await self.names.renew():
            try:
                reply = await self._run("stats", queue, [self.clock()])
                holds = any(int(size) for size in reply[1:6])
            except errors.WrongState:  # damaged: that nobody sees as long as it is not known
                holds = True
            if holds:
                found += 1
                await self.keep_known(queue)
        return found

    # --- other servers

    async def tell_server(self, server_id: str, message: bytes) -> None:
        """Publishes to another server of this store."""
        await self.scripts.command("SPUBLISH", keys.server_channel(server_id), message)

    # --- how scripts are run

    async def _run(
        self, script: str, queue: str, args: Sequence[Arg], *, extra_keys: Sequence[bytes] = (), jobs: int = 1
    ) -> list[bytes]:
        return await self.scripts.run(script, keys.queue_keys(queue), args, extra_keys=extra_keys, jobs=jobs)

    async def _in_chunks(self, script: str, queue: str, head: list[Arg], leases: Sequence[Lease]) -> int:
        self.names.touch(queue)
        total = 0
        for chunk in tasks.chunks(leases, JOBS_MAX):
            args = list(head)
            for lease in chunk:
                args += lease
            total += int((await self._run(script, queue, args, jobs=len(chunk)))[0])
        return total

    async def _batched(
        self,
        op: str,
        queue: str,
        flush: Callable[[str, list[_Request]], Coroutine[Any, Any, Sequence[_Result]]],
        request: _Request,
        jobs: int,
        size_bytes: int = 0,
    ) -> _Result:
        batcher: Batcher[_Request, _Result] | None = self._batchers.get((op, queue))
        if batcher is None:

            async def flush_queue(requests: list[_Request]) -> Sequence[_Result]:
                self._observe_batch(op.partition(" ")[0], sum(_jobs_in(request) for request in requests))
                return await flush(queue, requests)

            batcher = self._batchers[op, queue] = Batcher(flush_queue)
        try:
            return await batcher.submit(request, jobs=jobs, size_bytes=size_bytes)
        finally:
            # Queue names come and go; so do their batchers. One that was made since is somebody else's.
            if batcher.idle and self._batchers.get((op, queue)) is batcher:
                del self._batchers[op, queue]


def _pairs(settings: Mapping[str, float]) -> list[Arg]:
    return [part for name, value in settings.items() for part in (name, repr(value))]


def _jobs_in(request: Any) -> int:
    if isinstance(request, _EnqueueRequest):
        return len(request.jobs)
    return len(request.leases if isinstance(request, _ExtendRequest) else request)


def _split(answers: list[Any], requests: Sequence[Sequence[Any]]) -> list[list[Any]]:
    results, at = [], 0
    for request in requests:
        results.append(answers[at : at + len(request)])
        at += len(request)
    return results


def _fitting(jobs: Sequence[NackedJob], at: int) -> Sequence[NackedJob]:
    """Those from `at` on whose errors one script takes, at least one."""
    end, size = at, 0
    last = min(len(jobs), at + NACK_JOBS_MAX)
    while end < last and (end == at or size + len(jobs[end].error) <= NACK_BYTES_MAX):
        size += len(jobs[end].error)
        end += 1
    return jobs[at:end]


def _swept(reply: list[bytes]) -> Swept:
    return Swept(int(reply[0]), int(reply[1]), reply[2] == b"1", int(reply[3]))
