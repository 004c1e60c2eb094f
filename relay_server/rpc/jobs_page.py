"""One page of a listing of jobs: chooses what matches, within a bounded amount of looking."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from relay_server import limits
from relay_server.engine import Operations
from relay_server.model import Cursor, State, StoredJob
from relay_server.rpc.validate import Checks

_PAGE_DEFAULT = 50
# Looks at most at this many pages of the index for one page of the answer, so that a rare type costs bounded time.
_LISTINGS_MAX = 20


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
        score, skip = position
        if math.isfinite(float(score)) and int(skip) >= 0:
            return Cursor(score, int(skip))
    except ValueError:
        pass
    checks.add("page_token", "is not a token of this listing; leave it out to start again")
    return None


async def read_page(
    ops: Operations,
    queue: str,
    state: State,
    *,
    cursor: Cursor | None,
    size: int,
    matches: Callable[[StoredJob], bool],
    newest_at_ms: int | None = None,
    oldest_at_ms: int = 0,
) -> JobsPage:
    """Up to `size` jobs that match, after `cursor`. The page may be short, even empty, and not the last.

    `newest_at_ms` and `oldest_at_ms` bound a listing of dead letters by their death.
    """
    found: list[StoredJob] = []
    total = 0
    for _ in range(_LISTINGS_MAX):
        page = await ops.list_jobs(
            queue, state, cursor=cursor, limit=size - len(found), newest_at_ms=newest_at_ms
        )
        found += [job for job in page.jobs if job.at_ms >= oldest_at_ms and matches(job)]
        cursor, total = page.cursor, page.total
        if page.jobs and page.jobs[-1].at_ms < oldest_at_ms:
            cursor = None
        if cursor is None or len(found) >= size:
            break
    return JobsPage(jobs=found, cursor=cursor, total=total)
