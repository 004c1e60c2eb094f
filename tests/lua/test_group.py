"""group: how many dead letters of each kind there are, without carrying them."""

from relay_server.engine.operations import EXAMINED_MAX
from relay_server.model import DeadGroup
from tests.support.engine import START_MS, Lab, a_job


async def test_dead_letters_are_counted_by_type_and_error_type(lab: Lab) -> None:
    for job_type, error_type in (("a", "X"), ("b", "X"), ("a", "Y"), ("a", "X")):
        await lab.dead(a_job(job_type=job_type), error_type=error_type)
        lab.clock.advance(1)
    found = await lab.ops.group_dead(lab.queue, cursor=None)
    assert (found.examined, found.total, found.cursor) == (4, 4, None)
    assert sorted(found.groups) == [
        DeadGroup("a", "X", 2, START_MS, START_MS + 3),
        DeadGroup("a", "Y", 1, START_MS + 2, START_MS + 2),
        DeadGroup("b", "X", 1, START_MS + 1, START_MS + 1),
    ]


async def test_a_stretch_is_bounded_and_the_next_goes_on(lab: Lab) -> None:
    jobs = EXAMINED_MAX + 20
    for _ in range(0, jobs, 260):
        await lab.enqueued(*(a_job(expires_ms=START_MS + 1) for _ in range(260)))
    lab.clock.advance(1)
    while (await lab.claim(1)).answer.more:
        pass
    first = await lab.ops.group_dead(lab.queue, cursor=None)
    assert (first.examined, first.total, first.groups[0].jobs) == (EXAMINED_MAX, jobs, EXAMINED_MAX)
    second = await lab.ops.group_dead(lab.queue, cursor=first.cursor)
    assert (second.examined, second.groups[0].jobs, second.cursor) == (20, 20, None)


async def test_no_dead_letters(lab: Lab) -> None:
    found = await lab.ops.group_dead(lab.queue, cursor=None)
    assert (found.examined, found.total, found.groups, found.cursor) == (0, 0, [], None)
