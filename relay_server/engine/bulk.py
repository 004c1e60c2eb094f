"""Bulk operations on one queue: walk it in small scripts that take turns, act on what matches, yield the progress."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from relay_server import errors
from relay_server.engine.operations import Operations
from relay_server.engine.turns import Steps
from relay_server.model import EVERY, Cursor, QueueSnapshot, StoredJob, Want
from relay_server.words import SET_ASIDE, CancelWord, State

SAMPLE_JOBS = 10
# In the order in which jobs change state. In another order a job could move from a state not yet walked to one already
# walked. A job whose attempt fails meanwhile goes back, so it can be missed.
CANCELLED_STATES = (State.DELAYED, State.READY, State.INFLIGHT)
_PROGRESS_EVERY_S = 0.1

Act = Callable[[Sequence[bytes]], Awaitable[int]]
Walk = AsyncGenerator["Progress", None]


@dataclass(slots=True, kw_only=True)
class Progress:
    """How far a bulk operation is. `sample` is filled at the end of a dry run."""

    total: int
    examined: int = 0
    matched: int = 0
    changed: int = 0
    sample: list[StoredJob] = field(default_factory=list)
    done: bool = False


class Pace:
    """Lets at most ten progress messages a second through, and stops the work when the server drains."""

    def __init__(self, draining: asyncio.Event, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._draining = draining
        self._clock = clock
        self._last_at = float("-inf")

    def due(self) -> bool:
        """True when a message should be sent now. Raises Draining."""
        if self._draining.is_set():
            raise errors.Draining(
                "this server is shutting down; what was done stays, ask again to go on", retry_after_ms=1000
            )
        now = self._clock()
        if now - self._last_at < _PROGRESS_EVERY_S:
            return False
        self._last_at = now
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which jobs an operation is for: these ids, or all that are wanted."""

    ids: Sequence[bytes] | None = None
    want: Want = EVERY


class Bulk:
    """One operation. Each method yields its progress as often as `pace` allows; the last one is `done`.

    A dry run changes nothing, and shows some of what matches.
    """

    def __init__(self, ops: Operations, queue: str, *, steps: Steps, pace: Pace, dry_run: bool) -> None:
        self._ops = ops
        self._queue = queue
        self._steps = steps
        self._pace = pace
        self._dry_run = dry_run

    async def cancel(self, choice: Choice, states: Sequence[State]) -> Walk:
        """Deletes waiting jobs, and flags those in flight. Jobs enqueued after this call began are left alone."""
        if choice.ids is not None:
            return self._by_ids(choice.ids, {*states, SET_ASIDE}, self._cancel)
        total = jobs_in(await self._ops.stats(self._queue), states)
        want = choice.want._replace(stamp_max_ms=time.time_ns() / 1e6)
        return self._by_filter(states, total, want, self._cancel)

    async def requeue_dead(self, choice: Choice) -> Walk:
        """Makes dead letters ready again. Jobs that die from now on are not part of it."""
        return await self._on_dead(choice, self._ops.requeue)

    async def purge_dead(self, choice: Choice) -> Walk:
        """Deletes dead letters. Jobs that die from now on are not part of it."""
        return await self._on_dead(choice, self._ops.purge_dead)

    async def purge(self, *, forget: bool) -> Walk:
        """Deletes ready and delayed jobs and what was set aside, as many as there are now; `forget`: then the queue.

        Raises WrongState when it is to be forgotten and holds other jobs.
        """
        start = await self._ops.stats(self._queue)
        forget = forget and not self._dry_run
        if forget and start.inflight + start.dead:
            raise _still_in_use(self._queue)
        return self._purge(start.ready + start.delayed + start.unreadable, forget=forget)

    async def _cancel(self, ids: Sequence[bytes]) -> int:
        words = await self._ops.cancel(self._queue, ids)
        return sum(word in (CancelWord.REMOVED, CancelWord.FLAGGED) for word in words)

    async def _on_dead(self, choice: Choice, change: Callable[..., Awaitable[int]]) -> Walk:
        start = await self._ops.stats(self._queue)
        act = partial(change, self._queue, died_until_ms=start.now_ms)
        if choice.ids is not None:
            return self._by_ids(choice.ids, {State.DEAD}, act)
        until_ms = choice.want.newest_at_ms
        until_ms = start.now_ms if until_ms is None else min(until_ms, start.now_ms)
        return self._by_filter([State.DEAD], start.dead, choice.want._replace(newest_at_ms=until_ms), act)

    async def _by_filter(self, states: Iterable[State], total: int, want: Want, act: Act) -> Walk:
        """Acts on what is wanted of each state, in the order of its index."""
        progress = Progress(total=total)
        sample: list[bytes] = []
        for state in states:
            cursor: Cursor | None = None
            while True:
                scan = partial(self._ops.scan, self._queue, state, examine=2 * self._steps.jobs, want=want)
                page = await self._steps.run(partial(scan, cursor=cursor))
                progress.examined += page.examined
                progress.matched += len(page.ids)
                if self._dry_run:
                    sample += page.ids[: SAMPLE_JOBS - len(sample)]
                else:
                    progress.changed += await self._act_on(page.ids, act)
                progress.total = max(progress.total, progress.examined)
                if self._pace.due():
                    yield progress
                cursor = page.cursor
                if cursor is None:
                    break
        progress.total = progress.examined  # what others removed meanwhile was not there to look at
        yield await self._ended(progress, sample)

    async def _by_ids(self, ids: Sequence[bytes], states: set[int], act: Act) -> Walk:
        """Acts on these jobs, each once; those that are in none of `states` do not match."""
        ids = list(dict.fromkeys(ids))
        progress = Progress(total=len(ids))
        sample: list[bytes] = []
        while progress.examined < len(ids):
            chunk = ids[progress.examined : progress.examined + self._steps.jobs]
            if self._dry_run:
                where = await self._steps.run(partial(self._ops.states, self._queue, chunk))
                chosen = [job_id for job_id, state in zip(chunk, where, strict=True) if state in states]
                progress.matched += len(chosen)
                sample += chosen[: SAMPLE_JOBS - len(sample)]
            else:
                changed = await self._act_on(chunk, act)
                progress.matched += changed
                progress.changed += changed
            progress.examined += len(chunk)
            if self._pace.due():
                yield progress
        yield await self._ended(progress, sample)

    async def _purge(self, total: int, *, forget: bool) -> Walk:
        progress = Progress(total=total, matched=total if self._dry_run else 0)
        while not self._dry_run and progress.changed < total:
            limit = min(self._steps.jobs, total - progress.changed)
            purged = await self._steps.run(partial(self._ops.purge, self._queue, limit=limit))
            if not purged:
                break
            progress.changed += purged
            if self._pace.due():
                yield progress
        if forget and not await self._ops.forget(self._queue):
            raise _still_in_use(self._queue)
        yield await self._ended(progress, [])

    async def _act_on(self, ids: Sequence[bytes], act: Act) -> int:
        changed = at = 0
        while at < len(ids):
            chunk = ids[at : at + self._steps.jobs]
            changed += await self._steps.run(partial(act, chunk))
            at += len(chunk)
        return changed

    async def _ended(self, progress: Progress, sample: Sequence[bytes]) -> Progress:
        for job_id in sample:
            with suppress(errors.WrongState):  # it cannot be read, so there is nothing to show
                job = await self._steps.run(partial(self._ops.get_job, self._queue, job_id))
                if job is not None:
                    progress.sample.append(job)
        progress.done = True
        return progress


def jobs_in(snapshot: QueueSnapshot, states: Iterable[State]) -> int:
    """How many jobs are in these states."""
    sizes = {
        State.READY: snapshot.ready,
        State.DELAYED: snapshot.delayed,
        State.INFLIGHT: snapshot.inflight,
        State.DEAD: snapshot.dead,
    }
    return sum(sizes[state] for state in states)


def _still_in_use(queue: str) -> errors.WrongState:
    return errors.WrongState(
        f"queue {queue} still holds jobs, so it cannot be forgotten: let those in flight finish or cancel them, "
        "purge its dead letters, then purge it again with forget",
        metadata={"queue": queue},
    )
