"""One page of a listing of jobs: chooses what matches, within a bounded amount of looking."""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from relay.v1.job_pb2 import JobSummary
from relay_server import limits
from relay_server.engine import Operations
from relay_server.engine.operations import PREVIEW_BODY_BYTES_MAX
from relay_server.engine.turns import Lane
from relay_server.model import Cursor, State, StoredJob, Want
from relay_server.rpc import convert_admin
from relay_server.rpc.validate import Checks

_PAGE_DEFAULT = 50
# Scripts for one page of the answer, at most: a rare type and long errors cost bounded time. The page may be short.
_LISTINGS_MAX = 40
_PAGE_BODIES_BYTES_MAX = 1 << 20
_SUMMARIES_IN_A_ROW = 50  # a page of 500 would hold up the other calls of this server


@dataclass(frozen=True, slots=True, kw_only=True)
class JobsPage:
    """What matched; `cursor` is None on the last page; `total` counts the state without conditions."""

    jobs: list[StoredJob]
    cursor: Cursor | None
    total: int


def page_size(asked: int, *, default: int = _PAGE_DEFAULT) -> int:
    """Zero is the default, more than 500 is cut, a negative size is the default too."""
    return min(asked, limits.PAGE_MAX) if asked > 0 else default


def read_cursor(position: list[str] | None, checks: Checks) -> Cursor | None:
    """The cursor in a page token's position."""
    if position is None:
        return None
    try:
        score, job_id = position
        if not math.isnan(float(score)):
            return Cursor(repr(float(score)), bytes.fromhex(job_id))
    except ValueError:
        pass
    checks.add("page_token", "is not a token of this listing; leave it out to start again")
    return None


def cursor_position(cursor: Cursor) -> list[str]:
    """What a page token carries of a cursor."""
    return [cursor.score, cursor.id.hex()]


async def read_page(
    ops: Operations, lane: Lane, queue: str, state: State, *, cursor: Cursor | None, size: int, want: Want
) -> JobsPage:
    """Up to `size` jobs that are wanted, after `cursor`. The page may be short, even empty, and not the last."""
    found: list[StoredJob] = []
    total, body_bytes = 0, 0
    for _ in range(_LISTINGS_MAX):
        page = await lane.take(
            partial(
                ops.list_jobs,
                queue,
                state,
                cursor=cursor,
                limit=size - len(found),
                want=want,
                previews=max(0, min(PREVIEW_BODY_BYTES_MAX, _PAGE_BODIES_BYTES_MAX - body_bytes)),
            )
        )
        found += page.jobs
        body_bytes += sum(len(job.body) for job in page.jobs)
        cursor, total = page.cursor, page.total
        if cursor is None or len(found) >= size:
            break
    return JobsPage(jobs=found, cursor=cursor, total=total)


async def summaries(queue: str, jobs: Sequence[StoredJob], *, priority_step_ms: int = 0) -> list[JobSummary]:
    """The rows of a page. Lets other calls run in between."""
    rows: list[JobSummary] = []
    for i, job in enumerate(jobs):
        if i % _SUMMARIES_IN_A_ROW == _SUMMARIES_IN_A_ROW - 1:
            await asyncio.sleep(0)
        rows.append(convert_admin.job_summary(queue, job, priority_step_ms=priority_step_ms))
    return rows
