"""What operators do to the jobs of a queue over gRPC: list, look at, run, cancel."""

from typing import Any

import grpc
import pytest

from relay.v1 import admin_service_pb2 as pb
from relay.v1 import dead_letter_service_pb2, job_pb2
from relay_server.model import Extension, Lease, Scanned
from relay_server.rpc.ids import uuid_text
from relay_server.words import LeaseWord
from tests.support.engine import LEASE_MS, Lab, a_job, new_id
from tests.support.operator_desk import Desk, steps_of
from tests.support.relay import refusal

JobIds = dead_letter_service_pb2.JobIds


async def test_jobs_are_listed_by_state(desk: Desk, lab: Lab) -> None:
    (leased,) = await lab.enqueued(a_job())
    await lab.claim()
    ready = await lab.enqueued(a_job(job_type="a", priority=2), a_job(job_type="b"))
    (delayed,) = await lab.enqueued(a_job(delay_ms=7000))
    (dead,) = await bury_one(lab)
    expected = {
        job_pb2.JOB_STATE_READY: ready,
        job_pb2.JOB_STATE_DELAYED: [delayed],
        job_pb2.JOB_STATE_INFLIGHT: [leased],
        job_pb2.JOB_STATE_DEAD: [dead],
    }
    for state, ids in expected.items():
        page = await desk.admin.ListJobs(pb.ListJobsRequest(queue=lab.queue, state=state))
        assert [job.id for job in page.jobs] == [uuid_text(job_id) for job_id in ids]
        assert {job.state for job in page.jobs} == {state}
        assert page.total == len(ids)

    page = await desk.admin.ListJobs(pb.ListJobsRequest(queue=lab.queue, state=job_pb2.JOB_STATE_READY))
    # The index holds a job of priority 2 two hours earlier than it became ready.
    assert [job.state_time.ToMilliseconds() for job in page.jobs] == [lab.clock.now_ms] * 2
    only_b = await desk.admin.ListJobs(
        pb.ListJobsRequest(queue=lab.queue, state=job_pb2.JOB_STATE_READY, type="b")
    )
    assert ([job.type for job in only_b.jobs], only_b.total) == (["b"], 2)


async def bury_one(lab: Lab) -> list[bytes]:
    """Past the jobs that are ready: a delayed one whose expires_at has passed when its time comes."""
    now = lab.clock.now_ms
    ids = await lab.enqueued(a_job(delay_ms=1, expires_ms=now + 1))
    lab.clock.advance(1)
    await lab.transitions.promote(lab.queue)
    lab.clock.advance(-1)
    return ids


async def test_one_job_can_be_looked_for_in_a_state(desk: Desk, lab: Lab) -> None:
    (first, _) = await lab.enqueued(a_job(), a_job())
    request = pb.ListJobsRequest(
        queue=lab.queue, state=job_pb2.JOB_STATE_READY, job_id=uuid_text(first), type="test"
    )
    found = await desk.admin.ListJobs(request)
    assert ([job.id for job in found.jobs], found.total) == ([uuid_text(first)], 2)
    request.state = job_pb2.JOB_STATE_DELAYED
    assert list((await desk.admin.ListJobs(request)).jobs) == []


async def test_a_rare_type_is_found_page_by_page(desk: Desk, lab: Lab) -> None:
    for i in range(3):
        await lab.enqueued(*(a_job() for _ in range(499)), a_job(job_type="rare"))
        lab.clock.advance(i)
    found, token, pages = 0, "", 0
    while True:
        page = await desk.admin.ListJobs(
            pb.ListJobsRequest(
                queue=lab.queue, state=job_pb2.JOB_STATE_READY, type="rare", page_size=10, page_token=token
            )
        )
        found, pages, token = found + len(page.jobs), pages + 1, page.next_page_token
        if not token:
            break
    assert found == 3
    assert pages < 12


@pytest.mark.parametrize("state", [0, 9])
async def test_a_state_is_required(desk: Desk, lab: Lab, state: Any) -> None:
    await lab.enqueued(a_job())
    wrong = await refusal(desk.admin.ListJobs(pb.ListJobsRequest(queue=lab.queue, state=state)))
    assert list(wrong.fields) == ["state"]


async def test_a_whole_job_with_its_failures(desk: Desk, lab: Lab) -> None:
    job = job_pb2.Job(type="mail", payload=b"p" * 20_000)
    lease = await lab.in_flight(a_job(job.SerializeToString(), job_type="mail"))
    await lab.transitions.extend(lab.queue, [Extension(lease.id, lease.token, 0.25, "half way")])
    answer = await desk.admin.GetJob(pb.GetJobRequest(queue=lab.queue, job_id=uuid_text(lease.id)))
    assert (answer.job.id, answer.job.payload) == (uuid_text(lease.id), b"p" * 20_000)
    assert (answer.summary.progress, answer.summary.progress_note) == (0.25, "half way")
    assert answer.summary.payload_bytes == 20_000
    assert answer.epoch > 0
    assert list(answer.failures) == []

    lab.clock.advance(LEASE_MS + 1)
    await lab.transitions.reap(lab.queue)
    answer = await desk.admin.GetJob(pb.GetJobRequest(queue=lab.queue, job_id=uuid_text(lease.id)))
    (failure,) = answer.failures
    assert (failure.attempt, failure.kind) == (1, job_pb2.FAILURE_KIND_LEASE_EXPIRED)
    assert (failure.worker_id, failure.HasField("error")) == ("w", False)

    (listed,) = (
        await desk.admin.ListJobs(pb.ListJobsRequest(queue=lab.queue, state=answer.summary.state))
    ).jobs
    assert (listed.payload_preview, listed.payload_bytes > 20_000) == (b"", True)


async def test_a_job_that_is_not_there(desk: Desk, lab: Lab) -> None:
    await lab.enqueued(a_job())
    job_id = uuid_text(new_id())
    for call in (
        desk.admin.GetJob(pb.GetJobRequest(queue=lab.queue, job_id=job_id)),
        desk.admin.RunJobNow(pb.RunJobNowRequest(queue=lab.queue, job_id=job_id)),
    ):
        error = await refusal(call)
        assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "JOB_NOT_FOUND")
    wrong = await refusal(desk.admin.GetJob(pb.GetJobRequest(queue=lab.queue, job_id="7")))
    assert list(wrong.fields) == ["job_id"]


async def test_run_now(desk: Desk, lab: Lab) -> None:
    (job_id,) = await lab.enqueued(a_job(delay_ms=60_000))
    request = pb.RunJobNowRequest(queue=lab.queue, job_id=uuid_text(job_id))
    await desk.admin.RunJobNow(request)
    assert await lab.where(job_id) == "ready"
    again = await refusal(desk.admin.RunJobNow(request))
    assert (again.code, again.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "WRONG_STATE")


async def test_cancel_by_filter_takes_every_state_that_can_run(desk: Desk, lab: Lab) -> None:
    await lab.enqueued(*(a_job(job_type="bad") for _ in range(3)))
    taken = await lab.claim(3)
    await lab.enqueued(*(a_job(job_type="bad") for _ in range(4)), *(a_job() for _ in range(2)))
    await lab.enqueued(*(a_job(job_type="bad", delay_ms=1000) for _ in range(5)))
    request = pb.CancelJobsRequest(queue=lab.queue, filter=pb.JobFilter(type="bad"), dry_run=True)
    dry = (await steps_of(desk.admin.CancelJobs(request)))[-1]
    assert (dry.examined, dry.matched, dry.cancelled, dry.total, len(dry.sample)) == (14, 12, 0, 14, 10)

    request.dry_run = False
    done = (await steps_of(desk.admin.CancelJobs(request)))[-1]
    assert (done.examined, done.matched, done.cancelled, done.total) == (14, 12, 12, 14)
    assert len(await lab.ids("ready")) == 2
    flagged = await desk.admin.ListJobs(pb.ListJobsRequest(queue=lab.queue, state=job_pb2.JOB_STATE_INFLIGHT))
    assert [job.cancelled for job in flagged.jobs] == [True] * 3
    again = (await steps_of(desk.admin.CancelJobs(request)))[-1]
    assert (again.matched, again.cancelled) == (0, 0)
    answers = await lab.transitions.ack(lab.queue, taken.leases)
    assert {answer.word for answer in answers} == {LeaseWord.CANCELLED}


async def test_cancel_while_workers_claim_misses_nothing(
    desk: Desk, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Jobs of one batch share a place in the order; those before the walk's position leave at its head."""
    bad: list[bytes] = []
    for _ in range(4):
        ids = await lab.enqueued(*(a_job(job_type="bad" if i % 2 else "good") for i in range(500)))
        bad += ids[1::2]
    scan, leases = lab.ops.scan, list[Lease]()

    async def scan_while_claimed(*args: Any, **options: Any) -> Scanned:
        page = await scan(*args, **options)
        if len(leases) < 600:
            leases.extend((await lab.claim(200)).leases)
        return page

    monkeypatch.setattr(lab.ops, "scan", scan_while_claimed)
    done = (
        await steps_of(
            desk.admin.CancelJobs(pb.CancelJobsRequest(queue=lab.queue, filter=pb.JobFilter(type="bad")))
        )
    )[-1]
    for job_id in bad:
        where = await lab.where(job_id)
        assert where == "gone" or (where == "inflight" and (await lab.record(job_id)).cancelled)
    assert done.cancelled == len(bad)


async def test_jobs_enqueued_after_the_start_are_not_cancelled(
    desk: Desk, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stamped() -> bytes:
        job = job_pb2.Job()
        job.enqueue_time.GetCurrentTime()
        return job.SerializeToString()

    await lab.enqueued(*(a_job(stamped()) for _ in range(500)))
    scan, late = lab.ops.scan, list[bytes]()

    async def scan_and_enqueue(*args: Any, **options: Any) -> Scanned:
        if not late:
            late.extend(await lab.enqueued(*(a_job(stamped()) for _ in range(20))))
        return await scan(*args, **options)

    monkeypatch.setattr(lab.ops, "scan", scan_and_enqueue)
    request = pb.CancelJobsRequest(queue=lab.queue, filter=pb.JobFilter(all=True))
    done = (await steps_of(desk.admin.CancelJobs(request)))[-1]
    assert done.cancelled == 500
    assert set(await lab.ids("ready")) == set(late)


async def test_cancel_by_ids(desk: Desk, lab: Lab) -> None:
    (ready,) = await lab.enqueued(a_job())
    (dead,) = await bury_one(lab)
    ids = [uuid_text(job_id) for job_id in (ready, dead, ready, new_id())]
    request = pb.CancelJobsRequest(queue=lab.queue, ids=JobIds(ids=ids))
    done = (await steps_of(desk.admin.CancelJobs(request)))[-1]
    assert (done.examined, done.matched, done.cancelled) == (3, 1, 1)
    assert await lab.where(dead) == "dead"


@pytest.mark.parametrize(
    ("chosen", "field"),
    [
        ({"filter": pb.JobFilter()}, "filter.all"),
        ({}, "selection"),
        ({"filter": pb.JobFilter(state=job_pb2.JOB_STATE_DEAD)}, "filter.state"),
        ({"ids": JobIds(ids=[""])}, "ids.ids[0]"),
    ],
)
async def test_an_unclear_choice_is_refused(desk: Desk, lab: Lab, chosen: dict[str, Any], field: str) -> None:
    await lab.enqueued(a_job())
    wrong = await refusal(desk.admin.CancelJobs(pb.CancelJobsRequest(queue=lab.queue, **chosen)))
    assert list(wrong.fields) == [field]
    assert len(await lab.ids("ready")) == 1
