"""Bulk work on jobs of one queue: many small scripts in a row, what matches is acted on, and how far it got is told."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field

from relay_server import errors, limits
from relay_server.engine import Operations
from relay_server.model import Cursor, State, StoredJob

PAGE_JOBS = limits.BATCH_JOBS_MAX
SAMPLE_JOBS = 10
_OVERLAP_JOBS = PAGE_JOBS // 2
_LOOKUPS_AT_ONCE = 20  # whole jobs, up to 1 MiB each
_PROGRESS_EVERY_S = 0.1

Act = Callable[[Sequence[bytes]], Awaitable[int]]
Matches = Callable[[StoredJob], bool]


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


class Walk:
    """Goes over one state's index, page by page, while jobs leave it; yields each job once.

    A cursor is a score and how many jobs of that score were passed, so jobs that leave (through this operation, which
    says so with `left`, or through workers and other operators, who do not) would make the next page start too far on.
    Each page therefore overlaps the one before; a page in which nothing is known starts too far, and is read again
    from further back.
    """

    def __init__(
        self,
        ops: Operations,
        queue: str,
        state: State,
        *,
        newest_at_ms: int | None = None,
        previews: bool = False,
    ) -> None:
        self.state = state
        self._ops = ops
        self._queue = queue
        self._newest_at_ms = newest_at_ms
        self._previews = previews
        self._at: Cursor | None = None
        self._known: set[bytes] = set()  # ids with the cursor's score that were yielded
        self._ended = False

    async def page(self) -> list[StoredJob] | None:
        """The next jobs, maybe none; None at the end."""
        if self._ended:
            return None
        start = self._at and self._at._replace(skip=max(0, self._at.skip - _OVERLAP_JOBS))
        while True:
            page = await self._ops.list_jobs(
                self._queue,
                self.state,
                cursor=start,
                limit=PAGE_JOBS,
                newest_at_ms=self._newest_at_ms,
                previews=self._previews,
            )
            fresh = [job for job in page.jobs if job.id not in self._known]
            if start is None or start.skip == 0 or len(fresh) < len(page.jobs):
                break
            start = start._replace(skip=max(0, start.skip - _OVERLAP_JOBS))
        self._advance(page.cursor, page.jobs)
        return fresh

    def _advance(self, cursor: Cursor | None, jobs: Iterable[StoredJob]) -> None:
        if cursor is None:
            self._ended = True
            return
        if self._at is None or self._at.score != cursor.score:
            self._known = set()
        at_ms = int(float(cursor.score))
        self._known.update(job.id for job in jobs if job.at_ms == at_ms)
        self._at = cursor

    def left(self, jobs: Iterable[StoredJob]) -> None:
        """Says that these jobs of the last page were acted on. Jobs in flight stay where they are, flagged."""
        if self._at is None or self.state is State.INFLIGHT:
            return
        at_ms = int(float(self._at.score))
        gone = sum(1 for job in jobs if job.at_ms == at_ms)
        self._at = self._at._replace(skip=max(0, self._at.skip - gone))

    def stop(self) -> None:
        self._ended = True


async def by_filter(
    ops: Operations,
    queue: str,
    walks: Iterable[Walk],
    *,
    total: int,
    matches: Matches,
    act: Act,
    dry_run: bool,
    pace: Pace,
    oldest_at_ms: int = 0,
) -> AsyncGenerator[Progress, None]:
    """Acts on what matches in each walk. A walk over dead letters ends at `oldest_at_ms`. The last one is `done`."""
    progress = Progress(total=total)
    sample: list[bytes] = []
    for walk in walks:
        while (jobs := await walk.page()) is not None:
            if jobs and jobs[-1].at_ms < oldest_at_ms:
                walk.stop()
                jobs = [job for job in jobs if job.at_ms >= oldest_at_ms]
            chosen = [job for job in jobs if matches(job)]
            progress.examined += len(jobs)
            progress.matched += len(chosen)
            if dry_run:
                sample += [job.id for job in chosen[: SAMPLE_JOBS - len(sample)]]
            elif chosen:
                progress.changed += await act([job.id for job in chosen])
                walk.left(chosen)
            progress.total = max(progress.total, progress.examined)
            if pace.due():
                yield progress
    found = await asyncio.gather(*(ops.get_job(queue, job_id) for job_id in sample))
    progress.sample = [job for job in found if job is not None]
    progress.total = progress.examined  # what others removed meanwhile was not there to look at
    progress.done = True
    yield progress


async def by_ids(
    ops: Operations,
    queue: str,
    ids: Sequence[bytes],
    *,
    states: frozenset[State],
    act: Act,
    dry_run: bool,
    pace: Pace,
) -> AsyncGenerator[Progress, None]:
    """Acts on these jobs, each once; those that are in none of `states` do not match."""
    ids = list(dict.fromkeys(ids))
    progress = Progress(total=len(ids))
    size = _LOOKUPS_AT_ONCE if dry_run else PAGE_JOBS
    for i in range(0, len(ids), size):
        chunk = ids[i : i + size]
        if dry_run:
            found = await asyncio.gather(*(ops.get_job(queue, job_id) for job_id in chunk))
            chosen = [job for job in found if job is not None and job.state in states]
            progress.matched += len(chosen)
            progress.sample += chosen[: SAMPLE_JOBS - len(progress.sample)]
        else:
            changed = await act(chunk)
            progress.matched += changed
            progress.changed += changed
        progress.examined += len(chunk)
        if pace.due():
            yield progress
    progress.done = True
    yield progress


async def purge_waiting(
    ops: Operations, queue: str, *, total: int, dry_run: bool, pace: Pace
) -> AsyncGenerator[Progress, None]:
    """Deletes ready and delayed jobs, at most `total`."""
    progress = Progress(total=total, matched=total if dry_run else 0)
    while not dry_run and progress.changed < total:
        purged = await ops.purge(queue, limit=min(PAGE_JOBS, total - progress.changed))
        if not purged:
            break
        progress.changed += purged
        if pace.due():
            yield progress
    progress.done = True
    yield progress
