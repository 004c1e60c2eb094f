"""Listings: pages of jobs, workers and names of queues, groups of dead letters, history and audit of a queue."""

import asyncio
from bisect import bisect_left, bisect_right
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from functools import partial

from relay_server.engine.bulk import Pace, jobs_in
from relay_server.engine.operations import HISTORY_MINUTES, PREVIEW_BODY_BYTES_MAX, Operations
from relay_server.engine.roster import Roster, WorkerEntry
from relay_server.engine.turns import CallerTurns
from relay_server.model import AuditPage, Cursor, DeadGroup, Finding, StoredJob, Want
from relay_server.words import State

# Scripts for one page of the answer, at most: a rare type and long errors cost bounded time. The page may be short.
_LISTINGS_MAX = 40
_PAGE_BODIES_BYTES_MAX = 1 << 20
_GROUPED_MAX = 10_000
# Entries read for one page at most, so that who may see few of many costs bounded time.
_WORKERS_READ_MAX = 1000
_WORKERS_STEP = 100  # entries of 32 long names are half a MiB
_MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True, kw_only=True)
class JobsPage:
    """The jobs that matched; `cursor` is None on the last page; `total` counts the state without conditions."""

    jobs: list[StoredJob]
    cursor: Cursor | None
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadGroups:
    """Groups of dead letters, the largest first: of the newest `counted` ones out of `total`."""

    groups: list[DeadGroup]
    counted: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Minute:
    """How many jobs of a queue came and went in the minute that began at `at_ms`, and how many it held at the end."""

    at_ms: int
    enqueued: int
    acked: int
    failed: int
    dead: int
    ready: int
    inflight: int


async def jobs_page(
    ops: Operations,
    turns: CallerTurns,
    queue: str,
    state: State,
    *,
    cursor: Cursor | None,
    size: int,
    want: Want,
) -> JobsPage:
    """Up to `size` jobs that are wanted, after `cursor`. The page may be short, even empty, and not the last."""
    jobs: list[StoredJob] = []
    total, body_bytes = 0, 0
    for _ in range(_LISTINGS_MAX):
        previews = max(0, min(PREVIEW_BODY_BYTES_MAX, _PAGE_BODIES_BYTES_MAX - body_bytes))
        limit = size - len(jobs)
        page = await turns.take(
            partial(ops.list_jobs, queue, state, cursor=cursor, limit=limit, want=want, previews=previews)
        )
        jobs += page.jobs
        body_bytes += sum(len(job.body) for job in page.jobs)
        cursor, total = page.cursor, page.total
        if cursor is None or len(jobs) >= size:
            break
    return JobsPage(jobs=jobs, cursor=cursor, total=total)


async def page_of_one(ops: Operations, queue: str, state: State, job_id: bytes, *, job_type: str) -> JobsPage:
    """The page of the one job with this id, if it is in this state and of this type (empty: any)."""
    job, now = await asyncio.gather(ops.get_job(queue, job_id), ops.stats(queue))
    jobs = [job] if job is not None and job.state is state and job_type in ("", job.record.type) else []
    return JobsPage(jobs=jobs, cursor=None, total=jobs_in(now, [state]))


async def group_dead(ops: Operations, turns: CallerTurns, queue: str) -> DeadGroups:
    """Dead letters by job type and error type, of the newest 10 000."""
    by_name: dict[tuple[str, str], DeadGroup] = {}
    counted, total = 0, 0
    cursor: Cursor | None = None
    while counted < _GROUPED_MAX:
        page = await turns.take(partial(ops.group_dead, queue, cursor=cursor))
        total, cursor, counted = page.total, page.cursor, counted + page.examined
        for group in page.groups:
            name = (group.type, group.error_type)
            by_name[name] = _sum(by_name[name], group) if name in by_name else group
        if cursor is None:
            break
    groups = sorted(by_name.values(), key=lambda group: (-group.jobs, group.type, group.error_type))
    return DeadGroups(groups=groups, counted=counted, total=max(total, counted))


async def history(ops: Operations, queue: str, *, now_ms: int, span_ms: int) -> list[Minute]:
    """The minutes of the last `span_ms`, oldest first, without the one that is under way.

    A minute that no server wrote down is missing, unless nothing happened in it.
    """
    # A minute's row is written early in the next one, so the last minute may have none yet.
    return _minutes(
        await ops.history(queue),
        since_minute=(now_ms - span_ms) // _MINUTE_MS,
        until_minute=now_ms // _MINUTE_MS - 1,
    )


async def audit(
    ops: Operations, turns: CallerTurns, queue: str, pace: Pace
) -> AsyncGenerator[AuditPage, None]:
    """How far the audit is, with the findings that are new; the last page has no cursor. Raises Draining.

    Sizes are compared at every step, so a difference is found again and again: it is yielded once.
    """
    checked, known = 0, set[Finding]()
    cursor: tuple[str, str, str] | None = None
    while True:
        page = await turns.take(partial(ops.audit, queue, cursor))
        checked, cursor = checked + page.checked, page.cursor
        new = [finding for finding in page.findings if finding not in known]
        known.update(new)
        if pace.due() or new or cursor is None:
            yield AuditPage(checked=checked, findings=new, cursor=cursor)
        if cursor is None:
            return


async def workers_page(
    roster: Roster, visible: Callable[[str], bool], *, after: bytes, size: int
) -> tuple[list[WorkerEntry], bytes]:
    """Up to `size` sessions with a visible queue, and where they end; an empty place is the end of all.

    The page may be short, even empty, and not the last.
    """
    workers: list[WorkerEntry] = []
    for _ in range(_WORKERS_READ_MAX // _WORKERS_STEP):
        page = await roster.page(after, min(_WORKERS_STEP, size - len(workers)))
        workers += _visible(page.entries, visible)
        after = page.last
        if not after or len(workers) >= size:
            break
    return workers, after


def names_page(
    names: Sequence[str], visible: Callable[[str], bool], *, prefix: str, after: str | None, size: int
) -> tuple[list[str], bool]:
    """Up to `size` visible names with this prefix, of sorted ones, and whether more follow."""
    at = bisect_left(names, prefix) if after is None else bisect_right(names, after)
    page: list[str] = []
    while at < len(names) and names[at].startswith(prefix):
        if visible(names[at]):
            if len(page) == size:
                return page, True
            page.append(names[at])
        at += 1
    return page, False


def _minutes(
    rows: Sequence[tuple[int, dict[str, int]]], *, since_minute: int, until_minute: int
) -> list[Minute]:
    """How many jobs came and went in each minute, from the totals at the end of each.

    The oldest row of a full history only says where counting starts; in a shorter one it is the queue's first minute.
    An unused queue gets no rows: minutes between two rows with the same totals, and after the last, are quiet ones.
    """
    zero = dict.fromkeys(rows[0][1], 0) if rows else {}
    before = None if len(rows) >= HISTORY_MINUTES else zero
    minutes: list[Minute] = []
    for at, (minute, totals) in enumerate(rows):
        if before is not None and minute >= since_minute:
            minutes.append(_minute(minute, before, totals))
        following = rows[at + 1] if at + 1 < len(rows) else (until_minute, totals)
        if following[1] == totals:
            quiet = range(max(minute + 1, since_minute), following[0])
            minutes += [_minute(one, totals, totals) for one in quiet]
        before = totals
    return minutes


def _minute(minute: int, before: dict[str, int], totals: dict[str, int]) -> Minute:
    change = {name: max(0, total - before[name]) for name, total in totals.items()}
    return Minute(
        at_ms=minute * _MINUTE_MS,
        enqueued=change["enqueued"],
        acked=change["acked"],
        failed=change["retried"] + change["expired"] + change["dead"],
        dead=change["dead"],
        ready=totals["ready"],
        inflight=totals["inflight"],
    )


def _sum(one: DeadGroup, other: DeadGroup) -> DeadGroup:
    return one._replace(
        jobs=one.jobs + other.jobs,
        first_ms=min(one.first_ms, other.first_ms),
        last_ms=max(one.last_ms, other.last_ms),
    )


def _visible(entries: Sequence[WorkerEntry], visible: Callable[[str], bool]) -> list[WorkerEntry]:
    """The sessions that claim from a visible queue, with their visible queues alone."""
    rows = []
    for entry in entries:
        queues = tuple(queue for queue in entry.queues if visible(queue[0]))
        if queues:
            rows.append(entry._replace(queues=queues))
    return rows
