"""The transitions of jobs that producers, workers and loops ask for: one method each, in batches."""

import os
import struct
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import repeat
from typing import Any, NamedTuple, TypeVar

from relay_server import errors, limits, tasks
from relay_server.engine import keys, record
from relay_server.engine.batching import JOBS_MAX, Batchers
from relay_server.engine.lua_script import Arg
from relay_server.engine.names import Names
from relay_server.engine.scripts import ScriptRunner
from relay_server.model import (
    Acked,
    Claimed,
    ClaimedJob,
    ClaimGroup,
    Enqueued,
    Extended,
    Extension,
    Lease,
    Nacked,
    NackedJob,
    NewJob,
    Swept,
)
from relay_server.words import ClaimStatus, EnqueueWord, LeaseWord, words_of

CLAIMED_BODIES_BYTES_MAX = 1 << 20  # of one claim, or one larger body
# What one script takes of nacks, and of leases or delayed jobs that are due: each costs several times what an ack does.
NACK_JOBS_MAX, NACK_BYTES_MAX, SWEEP_JOBS = 250, 128 << 10, 250

_CLAIMED = struct.Struct("<HHHdd")
_REQUEST = struct.Struct("<HB")
_ENQUEUE_WORDS = words_of(EnqueueWord)
_CLAIM_STATUSES = words_of(ClaimStatus)
_LEASE_WORDS = words_of(LeaseWord)

Kind = TypeVar("Kind", bound=tuple[Any, ...])


class _EnqueueRequest(NamedTuple):
    request_id: bytes
    jobs: Sequence[NewJob]


class _ExtendRequest(NamedTuple):
    lease_ms: int
    leases: Sequence[Extension]


class Transitions:
    """Every transition. Ids and tokens are 16 bytes, times ms by the clock of the node that has the queue.

    Any method raises StoreUnavailable when the outcome is unknown; asking again is always safe.
    """

    def __init__(
        self,
        scripts: ScriptRunner,
        names: Names,
        *,
        server_id: str,
        observe_batch: Callable[[str, int], None] = lambda op, jobs: None,
    ) -> None:
        self._scripts = scripts
        self._names = names
        self._server_id = server_id
        self._batchers = Batchers(observe_batch)
        self._lost_claims: dict[str, bytes] = {}

    # --- producers

    async def enqueue(
        self, queue: str, jobs: Sequence[NewJob], *, request_id: bytes = b"", owner: str = ""
    ) -> list[Enqueued]:
        """(nothing) -> ready or delayed. One answer a job; a request applied before is answered as it was then.

        `owner` makes the queue when it is new. Raises QuotaExceeded.
        """
        if not self._names.trusts(queue):
            await self._names.enter(queue, owner)
        request = _EnqueueRequest(request_id, jobs)
        size = sum(len(job.body) for job in jobs)
        return await self._batchers.submit("enqueue", queue, self._enqueue, request, len(jobs), size)

    async def _enqueue(self, queue: str, requests: list[_EnqueueRequest]) -> list[list[Enqueued]]:
        extra = [keys.seen_key(queue, r.request_id) for r in requests if r.request_id]
        jobs = [job for r in requests for job in r.jobs]
        rows: list[tuple[bytes, bytes, bytes, bytes]] = []
        for job in jobs:
            placing = record.NO_KEY
            if job.key:
                extra.append(keys.idempotency_key(queue, job.key))
                placing = record.pack_key(len(extra), job.window_ms, job.content_hash)
            rows.append((job.id, job.plan + placing, job.tail, job.body))
        reply = await self._scripts.call(
            "enqueue",
            queue,
            horizon_ms=limits.RETRY_HORIZON_MS,
            requests=b"".join(_REQUEST.pack(len(r.jobs), bool(r.request_id)) for r in requests),
            rows=rows,
            extra_keys=extra,
        )
        answers = _records(Enqueued, zip([row[0] for row in rows], repeat(EnqueueWord.CREATED)))
        for number, word, holder in reply.rows:
            job = jobs[int(number)]
            answers[int(number)] = Enqueued(holder or job.id, _ENQUEUE_WORDS[word])
        return _split(answers, [r.jobs for r in requests])

    # --- workers

    async def claim(self, queue: str, groups: Sequence[ClaimGroup]) -> Claimed:
        """ready -> inflight, at most as many as the groups ask for; not batched: one dispatcher claims for a queue.

        A claim whose reply was lost is handed back before the next one, so its jobs wait for no lease to run out.
        """
        await self._names.keep_known(queue)
        await self.hand_back_lost_claim(queue)
        nonce = os.urandom(16)
        try:
            reply = await self._scripts.call(
                "claim",
                queue,
                server=self._server_id,
                nonce=nonce,
                bytes_max=CLAIMED_BODIES_BYTES_MAX,
                rows=groups,
                jobs=sum(group.jobs for group in groups),
            )
        except errors.StoreUnavailable:
            self._lost_claims[queue] = nonce
            raise
        jobs: list[list[ClaimedJob]] = [[] for _ in groups]
        for job_id, lease, body in reply.rows:
            number, attempt, max_attempts, epoch, waited = _CLAIMED.unpack(lease)
            fields = (job_id, attempt, max_attempts, int(epoch), int(waited), body)
            jobs[number].append(tuple.__new__(ClaimedJob, fields))
        status = _CLAIM_STATUSES[reply.word]
        return Claimed(status, int(reply.now), reply.more == b"1", int(reply.next_at), jobs)

    async def hand_back_lost_claim(self, queue: str) -> None:
        """inflight -> ready: what a claim took whose outcome is unknown, if there is such a claim."""
        while nonce := self._lost_claims.get(queue):
            self._names.touch(queue)
            await self._scripts.call("hand_back_claim", queue, server=self._server_id, nonce=nonce)
            if self._lost_claims.get(queue) == nonce:  # no later one was lost meanwhile
                del self._lost_claims[queue]

    async def ack(self, queue: str, leases: Sequence[Lease]) -> list[Acked]:
        """inflight -> (gone)."""
        return await self._batchers.submit("ack", queue, self._ack, leases, len(leases))

    async def _ack(self, queue: str, requests: list[Sequence[Lease]]) -> list[list[Acked]]:
        self._names.touch(queue)
        reply = await self._scripts.call(
            "ack", queue, rows=[lease for leases in requests for lease in leases]
        )
        answers = _records(Acked, [(_LEASE_WORDS[word], int(ran_ms or -1)) for word, ran_ms in reply.rows])
        return _split(answers, requests)

    async def nack(self, queue: str, jobs: Sequence[NackedJob]) -> list[Nacked]:
        """inflight -> delayed, ready or dead."""
        size = sum(len(job.error) for job in jobs)
        return await self._batchers.submit("nack", queue, self._nack, jobs, len(jobs), size)

    async def _nack(self, queue: str, requests: list[Sequence[NackedJob]]) -> list[list[Nacked]]:
        self._names.touch(queue)
        jobs = [job for request in requests for job in request]
        answers: list[Nacked] = []
        while len(answers) < len(jobs):  # long errors go in several scripts
            rest = _next_part(jobs, len(answers))
            reply = await self._scripts.call("nack", queue, rows=[_nack_row(job) for job in rest])
            answers += _records(
                Nacked,
                [(_LEASE_WORDS[word], int(state), int(delay_ms)) for word, state, delay_ms in reply.rows],
            )
        return _split(answers, requests)

    async def extend(self, queue: str, leases: Sequence[Extension], *, lease_ms: int = 0) -> list[Extended]:
        """inflight -> inflight, later deadline; `lease_ms` 0 keeps the length of each lease."""
        request = _ExtendRequest(lease_ms, leases)
        return await self._batchers.submit(
            "extend", queue, self._extend, request, len(leases), share_key=lease_ms
        )

    async def _extend(self, queue: str, requests: list[_ExtendRequest]) -> list[list[Extended]]:
        self._names.touch(queue)
        rows = [
            (job_id, token, fraction if fraction >= 0 else "", note)
            for request in requests
            for job_id, token, fraction, note in request.leases
        ]
        reply = await self._scripts.call("extend", queue, lease_ms=requests[0].lease_ms or "", rows=rows)
        answers = _records(Extended, [(_LEASE_WORDS[word], int(left_ms)) for word, left_ms in reply.rows])
        return _split(answers, [request.leases for request in requests])

    # --- the server's own care for leases

    async def hand_back(self, queue: str, leases: Sequence[Lease]) -> int:
        """inflight -> ready at the old place: jobs that were claimed and not delivered. Returns how many."""
        self._names.touch(queue)
        return await self._scripts.in_chunks("hand_back", queue, leases)

    async def set_aside(self, queue: str, leases: Sequence[Lease]) -> int:
        """inflight -> set aside: jobs that were claimed and whose body cannot be read. Returns how many."""
        self._names.touch(queue)
        return await self._scripts.in_chunks("set_aside", queue, leases)

    async def abandon(self, queue: str, leases: Sequence[Lease], *, since_ms: int) -> int:
        """Ends leases that were not extended since their stream ended. Returns how many."""
        self._names.touch(queue)
        return await self._scripts.in_chunks("abandon", queue, leases, since=since_ms)

    async def held(self, queue: str, leases: Sequence[Lease]) -> tuple[int, list[LeaseWord]]:
        """The store's time, and which of these leases are current. Changes nothing."""
        now, words = 0, list[LeaseWord]()
        for chunk in tasks.chunks(leases, JOBS_MAX):
            reply = await self._scripts.call("held", queue, rows=chunk)
            now = int(reply.now)
            words += [_LEASE_WORDS[word] for word in reply.rows]
        return now, words

    # --- loops

    async def reap(self, queue: str, *, limit: int = SWEEP_JOBS) -> Swept:
        """Ends up to `limit` leases whose deadline has passed."""
        return self._read_sweep(queue, await self._scripts.call("reap", queue, limit=limit))

    async def promote(self, queue: str, *, limit: int = SWEEP_JOBS) -> Swept:
        """Makes up to `limit` due jobs ready."""
        return self._read_sweep(queue, await self._scripts.call("promote", queue, limit=limit))

    async def reap_many(self, queues: Sequence[str]) -> list[Swept | Exception]:
        """Looks at up to `MANY_QUEUES` queues, and ends up to one lease of each. Raises nothing."""
        return await self._scripts.call_many("reap", queues, self._read_sweep, limit=1)

    async def promote_many(self, queues: Sequence[str]) -> list[Swept | Exception]:
        """Looks at up to `MANY_QUEUES` queues, and makes up to one job of each ready. Raises nothing."""
        return await self._scripts.call_many("promote", queues, self._read_sweep, limit=1)

    def _read_sweep(self, queue: str, reply: Any) -> Swept:
        """The answer of `reap` or `promote`. A queue in which it moved a job is in use: all servers look at it."""
        swept = Swept(
            int(reply.taken), int(reply.buried), reply.more == b"1", int(reply.next_at), int(reply.now)
        )
        if swept.taken or swept.buried:
            self._names.touch(queue)
        return swept


def _records(kind: type[Kind], values: Iterable[tuple[Any, ...]]) -> list[Kind]:
    """A record of each tuple, which has the fields in order: half the cost of a call of the kind for each."""
    return list(map(partial(tuple.__new__, kind), values))


def _split(answers: list[Any], requests: Sequence[Sequence[Any]]) -> list[list[Any]]:
    results, at = [], 0
    for request in requests:
        results.append(answers[at : at + len(request)])
        at += len(request)
    return results


def _nack_row(job: NackedJob) -> tuple[Arg, ...]:
    job_id, token, kind, after_ms, error_type, error = job
    return (job_id, token, kind.value, after_ms if after_ms >= 0 else "", error_type, error)


def _next_part(jobs: Sequence[NackedJob], at: int) -> Sequence[NackedJob]:
    """The jobs from `at` on whose errors fit into one script, at least one."""
    end, size = at, 0
    last = min(len(jobs), at + NACK_JOBS_MAX)
    while end < last and (end == at or size + len(jobs[end].error) <= NACK_BYTES_MAX):
        size += len(jobs[end].error)
        end += 1
    return jobs[at:end]
