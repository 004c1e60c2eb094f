"""Pages take bounded looking, also for a caller who may see few of many, and give each row once."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_server.engine.listings import names_page, workers_page
from relay_server.engine.roster import RosterPage, WorkerEntry


def entry(number: int, queue: str) -> WorkerEntry:
    return WorkerEntry(
        session_id=f"s{number:05}",
        worker_id="w",
        queues=((queue, 1), ("theirs", 1)),
        max_in_flight=1,
        in_flight=0,
        client_version="",
        connect_ms=0,
        server_id="server",
        connected=True,
    )


class Listed:
    """A roster of so many sessions, every so-manieth on `mine`."""

    def __init__(self, sessions: int, every: int) -> None:
        self.entries = [entry(i, "mine" if i % every == 0 else "theirs") for i in range(sessions)]
        self.looked_at = 0

    async def page(self, after: bytes, limit: int) -> RosterPage:
        start = int(after) if after else 0
        found = self.entries[start : start + limit]
        self.looked_at += len(found)
        return RosterPage(found, b"%d" % (start + limit) if len(found) == limit else b"")


@pytest.mark.parametrize("size", [1, 7, 100, 500])
@pytest.mark.parametrize("every", [1, 3, 900, 10_000])
async def test_every_session_that_one_may_see_comes_once(size: int, every: int) -> None:
    roster: Any = Listed(2500, every)
    names, after, looked_at = list[str](), b"", 0
    while True:
        found, after = await workers_page(roster, "mine".__eq__, after=after, size=size)
        assert len(found) <= size
        assert all(one.queues == (("mine", 1),) for one in found), "and of each what one may see"
        assert roster.looked_at - looked_at <= 1000
        names, looked_at = names + [one.session_id for one in found], roster.looked_at
        if not after:
            break
    assert names == [f"s{i:05}" for i in range(0, 2500, every)]


NAMES = st.lists(st.text("abc", min_size=1, max_size=4), unique=True).map(sorted)


@given(names=NAMES, prefix=st.text("abc", max_size=2), size=st.integers(1, 5))
def test_pages_of_names_give_each_visible_one_once(names: list[str], prefix: str, size: int) -> None:
    def visible(name: str) -> bool:
        return not name.endswith("c")

    found, after, more = list[str](), None, True
    while more:
        page, more = names_page(names, visible, prefix=prefix, after=after, size=size)
        assert len(page) <= size
        found += page
        after = page[-1] if page else None
    assert found == [name for name in names if name.startswith(prefix) and visible(name)]
