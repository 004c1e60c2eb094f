"""Dead letters as operators meet them: listed, grouped, requeued, purged; nothing missed, nothing twice."""

import asyncio
from typing import Any

import grpc
import pytest

from relay.v1 import dead_letter_service_pb2 as pb
from relay.v1 import job_pb2
from relay_server.engine.turns import STEP_JOBS
from relay_server.model import Scanned
from relay_server.rpc.convert import timestamp
from relay_server.rpc.ids import uuid_text
from tests.support.engine import Lab, a_job, new_id
from tests.support.operator_desk import Desk, bury, reject, steps_of
from tests.support.relay import refusal


async def last_of(call: Any) -> Any:
    """The final message; the ones before are progress that never goes back."""
    steps = await steps_of(call)
    examined = [step.examined for step in steps]
    assert examined == sorted(examined)
    return steps[-1]


def some(job_type: str) -> pb.DeadLetterFilter:
    return pb.DeadLetterFilter(type=job_type)


async def test_half_of_two_thousand_deaths_of_one_moment_go_back(desk: Desk, lab: Lab) -> None:
    ids = await bury(lab, 2000, types=("a", "b"))

    dry = await last_of(
        desk.dead.RequeueDeadLetters(
            pb.RequeueDeadLettersRequest(queue=lab.queue, filter=some("a"), dry_run=True)
        )
    )
    assert (dry.examined, dry.matched, dry.requeued, dry.total) == (2000, 1000, 0, 2000)
    assert len(dry.sample) == 10
    assert {job.type for job in dry.sample} == {"a"}
    assert await lab.ids("ready") == []

    done = await last_of(
        desk.dead.RequeueDeadLetters(pb.RequeueDeadLettersRequest(queue=lab.queue, filter=some("a")))
    )
    assert (done.examined, done.matched, done.requeued, done.total) == (2000, 1000, 1000, 2000)
    assert set(await lab.ids("ready")) == set(ids[0::2])
    assert set(await lab.ids("dead")) == set(ids[1::2])
    assert (await lab.record(ids[0])).attempt == 0

    purged = await last_of(
        desk.dead.PurgeDeadLetters(
            pb.PurgeDeadLettersRequest(queue=lab.queue, filter=pb.DeadLetterFilter(all=True))
        )
    )
    assert (purged.examined, purged.matched, purged.purged) == (1000, 1000, 1000)
    assert await lab.ids("dead") == []


@pytest.mark.parametrize("taken_away", [100, 300, 499, 1200])
async def test_another_operator_at_the_same_time_makes_nothing_be_missed(
    desk: Desk, lab: Lab, monkeypatch: pytest.MonkeyPatch, taken_away: int
) -> None:
    ids = await bury(lab, 2000, types=("a", "b"))
    others = ids[1::2]
    scan, pages = lab.ops.scan, 0

    async def scan_and_interfere(*args: Any, **options: Any) -> Scanned:
        nonlocal pages
        page = await scan(*args, **options)
        pages += 1
        if pages == 2:  # "b" jobs vanish at the head of the walk, after it passed them
            newest_first = sorted(others, reverse=True)
            await lab.ops.purge_dead(lab.queue, newest_first[:taken_away], died_until_ms=lab.clock.now_ms)
        return page

    monkeypatch.setattr(lab.ops, "scan", scan_and_interfere)
    done = await last_of(
        desk.dead.RequeueDeadLetters(pb.RequeueDeadLettersRequest(queue=lab.queue, filter=some("a")))
    )
    assert done.requeued == 1000
    assert set(await lab.ids("ready")) == set(ids[0::2])
    assert pages < 40


async def test_jobs_that_die_after_the_start_are_left(
    desk: Desk, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bury(lab, 3)
    requeue, late = lab.ops.requeue, list[bytes]()

    async def requeue_and_kill(*args: Any, **options: Any) -> int:
        lab.clock.advance(5)
        late.extend(await bury(lab, 2))
        return await requeue(*args, **options)

    monkeypatch.setattr(lab.ops, "requeue", requeue_and_kill)
    done = await last_of(
        desk.dead.RequeueDeadLetters(
            pb.RequeueDeadLettersRequest(queue=lab.queue, filter=pb.DeadLetterFilter(all=True))
        )
    )
    assert done.requeued == 3
    assert set(await lab.ids("dead")) == set(late)


async def test_ids_are_each_counted_once(desk: Desk, lab: Lab) -> None:
    first, second = await bury(lab, 2)
    (alive,) = await lab.enqueued(a_job())
    wanted = [uuid_text(job_id) for job_id in (first, second, first, alive, new_id())]
    request = pb.PurgeDeadLettersRequest(queue=lab.queue, ids=pb.JobIds(ids=wanted))

    request.dry_run = True
    dry = await last_of(desk.dead.PurgeDeadLetters(request))
    assert (dry.examined, dry.matched, dry.purged, dry.total) == (4, 2, 0, 4)
    assert [job.id for job in dry.sample] == wanted[:2]

    request.dry_run = False
    done = await last_of(desk.dead.PurgeDeadLetters(request))
    assert (done.examined, done.matched, done.purged, done.total) == (4, 2, 2, 4)
    assert await lab.ids("dead") == []
    assert await lab.ids("ready") == [alive]


async def test_a_time_range_is_half_open(desk: Desk, lab: Lab) -> None:
    batches = []
    for _ in range(3):
        batches.append(await bury(lab, 2))
        lab.clock.advance(1000)
    middle = lab.clock.now_ms - 2000
    chosen = pb.DeadLetterFilter(died_after=timestamp(middle), died_before=timestamp(middle + 1000))

    page = await desk.dead.ListDeadLetters(pb.ListDeadLettersRequest(queue=lab.queue, filter=chosen))
    assert {job.id for job in page.jobs} == {uuid_text(job_id) for job_id in batches[1]}
    assert page.total == 6

    done = await last_of(
        desk.dead.RequeueDeadLetters(pb.RequeueDeadLettersRequest(queue=lab.queue, filter=chosen))
    )
    assert done.requeued == 2
    assert set(await lab.ids("ready")) == set(batches[1])


@pytest.mark.parametrize(
    ("selection", "field"),
    [
        ({"filter": pb.DeadLetterFilter()}, "filter.all"),
        ({}, "selection"),
        ({"ids": pb.JobIds()}, "ids.ids"),
        ({"ids": pb.JobIds(ids=["nonsense"])}, "ids.ids[0]"),
        (
            {"filter": pb.DeadLetterFilter(died_after=timestamp(5000), died_before=timestamp(5000))},
            "filter.died_before",
        ),
    ],
)
async def test_an_unclear_choice_is_refused(
    desk: Desk, lab: Lab, selection: dict[str, Any], field: str
) -> None:
    await bury(lab, 1)
    refused = await refusal(
        last_of(desk.dead.PurgeDeadLetters(pb.PurgeDeadLettersRequest(queue=lab.queue, **selection)))
    )
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert list(refused.fields) == [field]
    assert len(await lab.ids("dead")) == 1


async def test_ten_thousand_wrong_ids_are_a_readable_error(desk: Desk, lab: Lab) -> None:
    await bury(lab, 1)
    request = pb.PurgeDeadLettersRequest(queue=lab.queue, ids=pb.JobIds(ids=["x"] * 10_000))
    refused = await refusal(last_of(desk.dead.PurgeDeadLetters(request)))
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert len(refused.fields) == 20


async def test_a_queue_never_seen(desk: Desk) -> None:
    for call in (
        desk.dead.ListDeadLetters(pb.ListDeadLettersRequest(queue="nowhere")),
        desk.dead.GroupDeadLetters(pb.GroupDeadLettersRequest(queue="nowhere")),
        last_of(
            desk.dead.PurgeDeadLetters(
                pb.PurgeDeadLettersRequest(queue="nowhere", filter=pb.DeadLetterFilter(all=True))
            )
        ),
    ):
        refused = await refusal(call)
        assert (refused.code, refused.reason) == (
            grpc.StatusCode.NOT_FOUND,
            "QUEUE_NOT_FOUND",
        )


async def test_pages_cover_the_list_once(desk: Desk, lab: Lab) -> None:
    ids = await bury(lab, 30, types=("a", "b", "c"))
    lab.clock.advance(1)
    newer = await bury(lab, 3, types=("a",))
    seen: list[str] = []
    token = ""
    while True:
        page = await desk.dead.ListDeadLetters(
            pb.ListDeadLettersRequest(queue=lab.queue, filter=some("a"), page_size=4, page_token=token)
        )
        assert len(page.jobs) <= 4
        assert page.total == 33
        seen += [job.id for job in page.jobs]
        token = page.next_page_token
        if not token:
            break
    assert sorted(seen) == sorted(uuid_text(job_id) for job_id in [*newer, *ids[0::3]])
    assert set(seen[:3]) == {uuid_text(job_id) for job_id in newer}


async def test_a_token_of_another_query_or_a_damaged_one_is_refused(desk: Desk, lab: Lab) -> None:
    await bury(lab, 5)
    first = await desk.dead.ListDeadLetters(pb.ListDeadLettersRequest(queue=lab.queue, page_size=2))
    token = first.next_page_token
    for request in (
        pb.ListDeadLettersRequest(queue=lab.queue, filter=some("a"), page_token=token),
        pb.ListDeadLettersRequest(queue=lab.queue, page_token=token[:-2] + "zz"),
        pb.ListDeadLettersRequest(queue=lab.queue, page_token="ü?"),
    ):
        refused = await refusal(desk.dead.ListDeadLetters(request))
        assert list(refused.fields) == ["page_token"]


async def test_a_row_tells_what_went_wrong(desk: Desk, lab: Lab) -> None:
    job = job_pb2.Job(payload=b"x" * 300, content_type="text/plain")
    job.enqueue_time.FromMilliseconds(1234)
    lease = await lab.in_flight(a_job(job.SerializeToString(), job_type="mail", priority=3))
    error = job_pb2.JobError(type="Boom", message="é" * 200).SerializeToString()
    await reject(lab, [lease], error=error)

    (row,) = (await desk.dead.ListDeadLetters(pb.ListDeadLettersRequest(queue=lab.queue))).jobs
    assert (row.type, row.state, row.priority) == ("mail", job_pb2.JOB_STATE_DEAD, 3)
    assert (row.attempt, row.dead_reason) == (1, job_pb2.DEAD_REASON_REJECTED)
    assert (row.error_type, row.error_message) == ("Boom", "é" * 128)
    assert (row.payload_preview, row.payload_bytes) == (b"x" * 256, 300)
    assert (row.content_type, row.enqueue_time.ToMilliseconds()) == ("text/plain", 1234)
    assert row.state_time.ToMilliseconds() == lab.clock.now_ms
    assert row.worker_id == "w"


async def test_groups_count_by_type_and_error(desk: Desk, lab: Lab) -> None:
    began = lab.clock.now_ms
    await bury(lab, 600, types=("a", "b"), error_type="Boom")
    lab.clock.advance(50)
    await bury(lab, 3, types=("a",), error_type="Bang")
    grouped = await desk.dead.GroupDeadLetters(pb.GroupDeadLettersRequest(queue=lab.queue))
    assert [(group.type, group.error_type, group.count) for group in grouped.groups] == [
        ("a", "Boom", 300),
        ("b", "Boom", 300),
        ("a", "Bang", 3),
    ]
    assert (grouped.counted, grouped.total) == (603, 603)
    assert grouped.groups[0].first_time.ToMilliseconds() == began
    assert grouped.groups[2].last_time.ToMilliseconds() == began + 50


async def test_a_cancelled_call_keeps_what_is_done(
    desk: Desk, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bury(lab, 1200)
    first_step = 2 * STEP_JOBS
    requeue, reached, changed = lab.ops.requeue, asyncio.Event(), 0

    async def requeue_once_then_hang(*args: Any, **options: Any) -> int:
        nonlocal changed
        if changed >= first_step:
            reached.set()
            await asyncio.Event().wait()
        done = await requeue(*args, **options)
        changed += done
        return done

    monkeypatch.setattr(lab.ops, "requeue", requeue_once_then_hang)
    everything = pb.RequeueDeadLettersRequest(queue=lab.queue, filter=pb.DeadLetterFilter(all=True))
    call = desk.dead.RequeueDeadLetters(everything)
    first = await call.read()
    assert isinstance(first, pb.RequeueDeadLettersResponse)
    assert not first.done
    assert first.requeued == first_step
    await asyncio.wait_for(reached.wait(), 10)
    call.cancel()
    assert len(await lab.ids("ready")) == first_step

    monkeypatch.setattr(lab.ops, "requeue", requeue)
    again = await last_of(desk.dead.RequeueDeadLetters(everything))
    assert again.requeued == 1200 - first_step


async def test_a_draining_server_says_so_between_pages(desk: Desk, lab: Lab) -> None:
    await bury(lab, 600)
    desk.draining.set()
    refused = await refusal(
        last_of(
            desk.dead.PurgeDeadLetters(
                pb.PurgeDeadLettersRequest(queue=lab.queue, filter=pb.DeadLetterFilter(all=True))
            )
        )
    )
    assert (refused.code, refused.reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
    assert len(await lab.ids("dead")) == 600 - 2 * STEP_JOBS


@pytest.mark.damages
async def test_dead_letters_that_cannot_be_read_are_passed_over(desk: Desk, lab: Lab) -> None:
    """More of one moment than a page holds, so that whole pages show nothing."""
    ids = await bury(lab, 1600)
    await lab.command(
        "HSET", lab.key("state"), *(part for job_id in ids[100:1500] for part in (job_id, b"x"))
    )
    listed = await desk.dead.ListDeadLetters(pb.ListDeadLettersRequest(queue=lab.queue, page_size=500))
    assert {job.id for job in listed.jobs} <= {uuid_text(i) for i in ids[:100] + ids[1500:]}
    purged = await last_of(
        desk.dead.PurgeDeadLetters(
            pb.PurgeDeadLettersRequest(queue=lab.queue, filter=pb.DeadLetterFilter(all=True))
        )
    )
    assert purged.purged == 200
    by_id = pb.PurgeDeadLettersRequest(
        queue=lab.queue, ids=pb.JobIds(ids=[uuid_text(i) for i in ids[100:1500]])
    )
    assert (await last_of(desk.dead.PurgeDeadLetters(by_id))).purged == 1400
    assert await lab.findings(lab.queue) == []
