"""One page of the workers' sessions that a caller may see, within a bounded amount of looking."""

from relay_server.engine.roster import Roster, WorkerEntry
from relay_server.rpc.validate import Checks
from relay_server.security.principals import Principal, Role

# Entries read for one page at most, so that who may see few of many costs bounded time.
_LOOKED_AT_MAX = 1000
_STEP = 100  # entries of 32 long names are half a MiB


def read_place(checks: Checks, position: list[str] | None) -> bytes:
    """Where the page before ended, from its token."""
    try:
        return bytes.fromhex(position[0]) if position else b""
    except (ValueError, IndexError):
        checks.add("page_token", "is not a token of this listing; leave it out to start again")
        return b""


async def read_page(
    roster: Roster, principal: Principal, *, after: bytes, size: int
) -> tuple[list[WorkerEntry], bytes]:
    """Up to `size` sessions that the principal may see, and where they end; an empty place is the end of all.

    The page may be short, even empty, and not the last.
    """
    found: list[WorkerEntry] = []
    for _ in range(_LOOKED_AT_MAX // _STEP):
        page = await roster.page(after, min(_STEP, size - len(found)))
        found += visible(page.entries, principal)
        after = page.last
        if not after or len(found) >= size:
            break
    return found, after


def visible(entries: list[WorkerEntry], principal: Principal) -> list[WorkerEntry]:
    """Those that claim from a queue the principal may look at, with those queues alone."""
    seen = []
    for entry in entries:
        queues = tuple(queue for queue in entry.queues if principal.may(Role.VIEWER, queue[0]))
        if queues:
            seen.append(entry._replace(queues=queues))
    return seen
