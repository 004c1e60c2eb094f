"""Bulk work on jobs of one queue: many small scripts in turns, what matches is acted on, and how far it got is told."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from relay_server import errors
from relay_server.engine import Operations
from relay_server.engine.turns import Steps
from relay_server.model import Cursor, State, StoredJob, Want

SAMPLE_JOBS = 10
_PROGRESS_EVERY_S = 0.1

Act = Callable[[Sequence[bytes]], Awaitable[int]]


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
        self._told = float("-inf")

    def due(self) -> bool:
        """True when a message should be sent now. Raises Draining."""
        if self._draining.is_set():
            raise errors.Draining(
                "this server is shutting down; what was done stays, ask again to go on", retry_after_ms=1000
            )
        now = self._clock()
        if now - self._told < _PROGRESS_EVERY_S:
            return False
        self._told = now
        return True


async def by_filter(
    ops: Operations,
    queue: str,
    states: Iterable[State],
    *,
    total: int,
    want: Want,
    act: Act,
    dry_run: bool,
    steps: Steps,
    pace: Pace,
) -> AsyncGenerator[Progress, None]:
    """Acts on what is wanted of each state, in the order of its index. The last progress is `done`."""
    progress = Progress(total=total)
    sample: list[bytes] = []
    for state in states:
        cursor: Cursor | None = None
        while True:
            found = await steps.run(
                partial(ops.scan, queue, state, cursor=cursor, examine=2 * steps.jobs, want=want)
            )
            progress.examined += found.examined
            progress.matched += len(found.ids)
            if dry_run:
                sample += found.ids[: SAMPLE_JOBS - len(sample)]
            else:
                progress.changed += await _act_on(found.ids, act, steps)
            progress.total = max(progress.total, progress.examined)
            if pace.due():
                yield progress
            cursor = found.cursor
            if cursor is None:
                break
    progress.sample = await _whole(ops, queue, sample, steps)
    progress.total = progress.examined  # what others removed meanwhile was not there to look at
    progress.done = True
    yield progress


async def by_ids(
    ops: Operations,
    queue: str,
    ids: Sequence[bytes],
    *,
    states: frozenset[int],
    act: Act,
    dry_run: bool,
    steps: Steps,
    pace: Pace,
) -> AsyncGenerator[Progress, None]:
    """Acts on these jobs, each once; those that are in none of `states` do not match."""
    ids = list(dict.fromkeys(ids))
    progress = Progress(total=len(ids))
    sample: list[bytes] = []
    while progress.examined < len(ids):
        chunk = ids[progress.examined : progress.examined + steps.jobs]
        if dry_run:
            where = await steps.run(partial(ops.states, queue, chunk))
            chosen = [job_id for job_id, state in zip(chunk, where, strict=True) if state in states]
            progress.matched += len(chosen)
            sample += chosen[: SAMPLE_JOBS - len(sample)]
        else:
            changed = await _act_on(chunk, act, steps)
            progress.matched += changed
            progress.changed += changed
        progress.examined += len(chunk)
        if pace.due():
            yield progress
    progress.sample = await _whole(ops, queue, sample, steps)
    progress.done = True
    yield progress


async def _act_on(ids: Sequence[bytes], act: Act, steps: Steps) -> int:
    changed = at = 0
    while at < len(ids):
        chunk = ids[at : at + steps.jobs]
        changed += await steps.run(partial(act, chunk))
        at += len(chunk)
    return changed


async def _whole(ops: Operations, queue: str, ids: Sequence[bytes], steps: Steps) -> list[StoredJob]:
    found = []
    for job_id in ids:
        with suppress(errors.WrongState):  # it cannot be read, so there is nothing to show
            found.append(await steps.run(partial(ops.get_job, queue, job_id)))
    return [job for job in found if job is not None]


async def purge_waiting(
    ops: Operations, queue: str, *, total: int, dry_run: bool, steps: Steps, pace: Pace
) -> AsyncGenerator[Progress, None]:
    """Deletes ready and delayed jobs and what was set aside as unreadable, at most `total`."""
    progress = Progress(total=total, matched=total if dry_run else 0)
    while not dry_run and progress.changed < total:
        purged = await steps.run(partial(ops.purge, queue, limit=min(steps.jobs, total - progress.changed)))
        if not purged:
            break
        progress.changed += purged
        if pace.due():
            yield progress
    progress.done = True
    yield progress
