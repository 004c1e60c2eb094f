"""list: a state page by page."""

import pytest

from relay_server.model import Cursor, State
from tests.support.engine import START_MS, Lab, a_job


async def _pages(lab: Lab, state: State, limit: int) -> list[list[bytes]]:
    pages: list[list[bytes]] = []
    cursor: Cursor | None = None
    while True:
        page = await lab.ops.list_jobs(lab.queue, state, cursor=cursor, limit=limit)
        pages.append([job.id for job in page.jobs])
        cursor = page.cursor
        if cursor is None:
            return pages


@pytest.mark.parametrize("limit", [1, 3, 4, 5, 100])
async def test_pages_meet_each_job_once_even_when_all_share_a_time(lab: Lab, limit: int) -> None:
    ids = await lab.enqueued(*(a_job() for _ in range(9)))
    lab.clock.advance(1)
    ids += await lab.enqueued(*(a_job() for _ in range(4)))
    pages = await _pages(lab, State.READY, limit)
    assert [job_id for page in pages for job_id in page] == ids
    assert all(len(page) <= limit for page in pages)


async def test_states_are_listed_nearest_first_and_deaths_newest_first(lab: Lab) -> None:
    dead: list[bytes] = []
    for _ in range(3):
        dead += [await lab.dead(), await lab.dead()]
        lab.clock.advance(10)
    delayed = await lab.enqueued(a_job(delay_ms=30), a_job(delay_ms=20))
    assert await _pages(lab, State.DELAYED, 5) == [delayed[::-1]]
    assert [job_id for page in await _pages(lab, State.DEAD, 2) for job_id in page] == dead[::-1]
    page = await lab.ops.list_jobs(lab.queue, State.DEAD, cursor=None, limit=2, newest_at_ms=START_MS + 10)
    assert [job.id for job in page.jobs] == [dead[3], dead[2]]
    assert (page.total, page.jobs[0].at_ms, len(page.jobs[0].failures)) == (6, START_MS + 10, 1)
    assert page.cursor is not None
    page = await lab.ops.list_jobs(lab.queue, State.DEAD, cursor=page.cursor, limit=5)
    assert [job.id for job in page.jobs] == [dead[1], dead[0]]
    held = [await lab.in_flight(), await lab.in_flight(lease_ms=1000)]
    assert await _pages(lab, State.INFLIGHT, 5) == [[held[1].id, held[0].id]]


async def test_only_small_bodies_are_read_and_a_mebibyte_in_all(lab: Lab) -> None:
    small, large = b"s" * (16 << 10), b"l" * ((16 << 10) + 1)
    await lab.enqueued(*(a_job(small) for _ in range(66)), a_job(large), a_job(b"tiny"))
    page = await lab.ops.list_jobs(lab.queue, State.READY, cursor=None, limit=100)
    bodies = [job.body for job in page.jobs]
    assert bodies == [small] * 64 + [b""] * 4
    await lab.ops.purge(lab.queue, limit=60)
    page = await lab.ops.list_jobs(lab.queue, State.READY, cursor=None, limit=100)
    assert [job.body for job in page.jobs][-2:] == [b"", b"tiny"]
    assert page.jobs[-2].record.body_bytes == len(large)


async def test_an_empty_state_is_one_empty_page(lab: Lab) -> None:
    assert await _pages(lab, State.READY, 5) == [[]]
