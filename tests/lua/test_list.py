"""list: a state page by page."""

import pytest

from relay_server.engine.operations import ERROR_PREVIEW_BYTES, ROWS_BYTES_MAX
from relay_server.model import Cursor, Want
from relay_server.words import State
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
    newest = Want(newest_at_ms=START_MS + 10)
    assert await _pages(lab, State.DELAYED, 5) == [delayed[::-1]]
    assert [job_id for page in await _pages(lab, State.DEAD, 2) for job_id in page] == dead[::-1]
    page = await lab.ops.list_jobs(lab.queue, State.DEAD, cursor=None, limit=2, want=newest)
    assert [job.id for job in page.jobs] == [dead[3], dead[2]]
    assert (page.total, page.jobs[0].at_ms, len(page.jobs[0].failures)) == (6, START_MS + 10, 1)
    assert page.cursor is not None
    page = await lab.ops.list_jobs(lab.queue, State.DEAD, cursor=page.cursor, limit=5)
    assert [job.id for job in page.jobs] == [dead[1], dead[0]]
    held = [await lab.in_flight(), await lab.in_flight(lease_ms=1000)]
    assert await _pages(lab, State.INFLIGHT, 5) == [[held[1].id, held[0].id]]


async def test_only_small_bodies_are_read_and_half_a_mebibyte_in_all(lab: Lab) -> None:
    """What does not fit is for the next call, so that no script takes long."""
    small, large = b"s" * (16 << 10), b"l" * ((16 << 10) + 1)
    await lab.enqueued(*(a_job(small) for _ in range(33)), a_job(large), a_job(b"tiny"))
    page = await lab.ops.list_jobs(lab.queue, State.READY, cursor=None, limit=100)
    assert [job.body for job in page.jobs] == [small] * (ROWS_BYTES_MAX // len(small))
    page = await lab.ops.list_jobs(lab.queue, State.READY, cursor=page.cursor, limit=100)
    assert [job.body for job in page.jobs] == [small, b"", b"tiny"]
    assert page.jobs[1].record.body_bytes == len(large)
    assert page.cursor is None
    page = await lab.ops.list_jobs(lab.queue, State.READY, cursor=None, limit=100, previews=0)
    assert [job.body for job in page.jobs] == [b""] * 35


async def test_of_failures_the_start_of_the_newest_is_given_and_what_is_read_is_bounded(lab: Lab) -> None:
    jobs = 2 * ROWS_BYTES_MAX // 32_000
    await lab.enqueued(*(a_job() for _ in range(jobs)))
    for number in range(4):
        for lease in (await lab.claim(jobs)).leases:
            await lab.nack(lease, after_ms=0, error=b"%d" % number + b"e" * 8000)
    page = await lab.ops.list_jobs(lab.queue, State.READY, cursor=None, limit=100)
    assert len(page.jobs) == ROWS_BYTES_MAX // (4 * 8018)
    assert {job.failures[0].error for job in page.jobs} == {b"3" + b"e" * (ERROR_PREVIEW_BYTES - 1)}
    assert {(len(job.failures), job.failures[0].attempt) for job in page.jobs} == {(1, 4)}
    assert sum(len(part) for part in lab.heard["list"][-1]) < 40_000
    listed = [job_id for ids in await _pages(lab, State.READY, 100) for job_id in ids]
    assert listed == await lab.ids("ready")
    whole = await lab.ops.get_job(lab.queue, listed[0])
    assert whole is not None
    assert [len(failure.error) for failure in whole.failures] == [8001] * 4


async def test_a_filter_looks_at_a_bounded_stretch(lab: Lab) -> None:
    for _ in range(3):
        await lab.enqueued(*(a_job() for _ in range(400)))
    (rare,) = await lab.enqueued(a_job(job_type="rare"))
    found, cursor, total = list[bytes](), None, 0
    for _ in range(3):
        page = await lab.ops.list_jobs(
            lab.queue, State.READY, cursor=cursor, limit=10, want=Want(type="rare")
        )
        found += [job.id for job in page.jobs]
        cursor, total = page.cursor, page.total
    assert (found, cursor, total) == ([rare], None, 1201)


async def test_an_empty_state_is_one_empty_page(lab: Lab) -> None:
    assert await _pages(lab, State.READY, 5) == [[]]
