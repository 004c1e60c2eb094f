"""What operators do to queues and their jobs over gRPC: look, change settings, pause, run, cancel, purge, forget."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from relay.v1 import admin_service_pb2 as pb
from relay.v1 import dead_letter_service_pb2, job_pb2
from relay_server.model import Extension, Lease, LeaseWord, Page
from relay_server.rpc.convert import duration, uuid_text
from tests.support.engine import LEASE_MS, Lab, a_job, new_id, new_queue
from tests.support.operator_desk import Desk, bury, fields_of, open_desk, reason_of

JobIds = dead_letter_service_pb2.JobIds


@pytest.fixture
async def desk(lab: Lab) -> AsyncIterator[Desk]:
    async with open_desk(lab) as desk:
        yield desk


async def refusal(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await (_read_out(call) if hasattr(call, "read") else call)
    return refused.value


async def _read_out(call: Any) -> None:
    while await call.read() is not grpc.aio.EOF:
        pass


async def steps_of(call: Any) -> list[Any]:
    steps = [step async for step in call]
    assert [step.done for step in steps] == [False] * (len(steps) - 1) + [True]
    return steps


# --- queues


async def test_stats_of_one_queue_and_of_all(desk: Desk, lab: Lab) -> None:
    await lab.enqueued(a_job(), a_job(), a_job(delay_ms=5000))
    await lab.claim(1)
    lab.clock.advance(1500)
    other = new_queue()
    await lab.engine.enqueue(other, [a_job()])

    one = await desk.admin.Stats(pb.StatsRequest(queue=lab.queue))
    (stats,) = one.queues
    assert (stats.ready, stats.delayed, stats.inflight, stats.dead) == (1, 1, 1, 0)
    assert stats.oldest_ready_age == duration(1500)
    assert (stats.counters.enqueued, stats.counters.claimed) == (3, 1)
    assert one.time.ToMilliseconds() == lab.clock.now_ms

    everything = await desk.admin.Stats(pb.StatsRequest())
    assert [queue.queue for queue in everything.queues] == sorted([lab.queue, other])


async def test_no_queue_yet_is_an_empty_snapshot(desk: Desk, lab: Lab) -> None:
    nothing = await desk.admin.Stats(pb.StatsRequest())
    assert (list(nothing.queues), nothing.time.ToMilliseconds()) == ([], lab.clock.now_ms)
    assert list((await desk.admin.ListWorkers(pb.ListWorkersRequest())).workers) == []


@pytest.mark.damages
async def test_a_damaged_queue_does_not_hide_the_others(desk: Desk, lab: Lab) -> None:
    await lab.enqueued(a_job())
    await lab.engine.directory.add("damaged")
    await lab.command("SET", "relay:{damaged}:ready", "x")
    everything = await desk.admin.Stats(pb.StatsRequest())
    assert [queue.queue for queue in everything.queues] == [lab.queue]
    assert (await refusal(desk.admin.Stats(pb.StatsRequest(queue="damaged")))).code() is (
        grpc.StatusCode.INTERNAL
    )


async def test_watchers_see_changes(desk: Desk, lab: Lab) -> None:
    await lab.enqueued(a_job())
    calls = [desk.admin.WatchStats(pb.WatchStatsRequest(queue=lab.queue)) for _ in range(5)]
    for call in calls:
        first = await call.read()
        assert isinstance(first, pb.WatchStatsResponse)
        assert [queue.ready for queue in first.queues] == [1]
    await lab.enqueued(a_job())
    for call in calls:
        async with asyncio.timeout(10):
            await _until_ready(call, 2)
        call.cancel()
    async with asyncio.timeout(10):
        while desk.feed.polling:  # noqa: ASYNC110 - nothing tells us but the feed itself
            await asyncio.sleep(0.005)


async def _until_ready(call: Any, ready: int) -> None:
    while (await call.read()).queues[0].ready != ready:
        pass


async def test_a_watch_ends_when_the_server_drains(desk: Desk, lab: Lab) -> None:
    await lab.enqueued(a_job())
    call = desk.admin.WatchStats(pb.WatchStatsRequest())
    await call.read()
    desk.feed.close()
    async with asyncio.timeout(5):
        ended = await refusal(call)
    assert (ended.code(), reason_of(ended)) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
    again = await refusal(desk.admin.WatchStats(pb.WatchStatsRequest()))
    assert reason_of(again) == "DRAINING"
    assert not desk.feed.polling


async def test_history_tells_what_happened_in_each_minute(desk: Desk, lab: Lab) -> None:
    minute = lab.clock.now_ms // 60_000
    await lab.enqueued(a_job(), a_job())
    await lab.ops.record_history(lab.queue, minute)
    taken = await lab.claim(2)
    await lab.engine.ack(lab.queue, taken.leases[:1])
    await lab.ops.record_history(lab.queue, minute + 1)
    await bury(lab, 1)
    await lab.ops.record_history(lab.queue, minute + 3)  # no server ran in minute + 2
    lab.clock.advance(4 * 60_000)

    told = await desk.admin.GetHistory(pb.GetHistoryRequest(queue=lab.queue))
    rows = [
        (
            bucket.time.ToMilliseconds() // 60_000 - minute,
            bucket.enqueued,
            bucket.acked,
            bucket.failed,
            bucket.dead,
            bucket.ready,
            bucket.inflight,
        )
        for bucket in told.buckets
    ]
    assert rows == [(0, 2, 0, 0, 0, 2, 0), (1, 0, 1, 0, 0, 0, 1), (3, 1, 0, 1, 1, 0, 1)]

    late = await desk.admin.GetHistory(pb.GetHistoryRequest(queue=lab.queue, span=duration(2 * 60_000)))
    assert [bucket.enqueued for bucket in late.buckets] == [1]
    wrong = await refusal(
        desk.admin.GetHistory(pb.GetHistoryRequest(queue=lab.queue, span=duration(90_000_000)))
    )
    assert fields_of(wrong) == ["span"]


async def test_queues_are_listed_by_name_in_pages(desk: Desk, lab: Lab) -> None:
    names = [f"list-{i:02}" for i in range(7)]
    for name in [*names, "other"]:
        await lab.ops.configure(name, {"rate": 5})
    seen: list[str] = []
    token = ""
    while True:
        page = await desk.admin.ListQueues(
            pb.ListQueuesRequest(prefix="list-", page_size=3, page_token=token)
        )
        seen += [queue.name for queue in page.queues]
        assert {queue.settings.rate for queue in page.queues} == {5}
        token = page.next_page_token
        if not token:
            break
    assert seen == names
    foreign = await refusal(desk.admin.ListQueues(pb.ListQueuesRequest(prefix="o", page_token="AAAA")))
    assert fields_of(foreign) == ["page_token"]


async def test_update_creates_a_queue_and_changes_only_what_is_set(desk: Desk, lab: Lab) -> None:
    first = await desk.admin.UpdateQueue(
        pb.UpdateQueueRequest(queue=lab.queue, settings=pb.QueueSettings(rate=2.5, max_jobs=10))
    )
    settings = first.queue.settings
    assert (settings.rate, settings.max_jobs, settings.max_expirations) == (2.5, 10, 3)
    assert settings.priority_step == duration(3_600_000)

    second = await desk.admin.UpdateQueue(
        pb.UpdateQueueRequest(
            queue=lab.queue,
            settings=pb.QueueSettings(burst=7, priority_step=duration(60_000), max_expirations=1),
        )
    )
    settings = second.queue.settings
    assert (settings.rate, settings.burst, settings.max_jobs, settings.max_expirations) == (2.5, 7, 10, 1)
    assert settings.priority_step == duration(60_000)


@pytest.mark.parametrize(
    ("settings", "fields"),
    [
        (pb.QueueSettings(), ["settings"]),
        (pb.QueueSettings(rate=-1, burst=-1), ["settings.rate", "settings.burst"]),
        (pb.QueueSettings(rate=float("nan")), ["settings.rate"]),
        (pb.QueueSettings(max_jobs=1_000_000_001), ["settings.max_jobs"]),
        (pb.QueueSettings(max_expirations=0), ["settings.max_expirations"]),
        (pb.QueueSettings(priority_step=duration(8 * 86_400_000)), ["settings.priority_step"]),
    ],
)
async def test_settings_out_of_range(
    desk: Desk, lab: Lab, settings: pb.QueueSettings, fields: list[str]
) -> None:
    wrong = await refusal(desk.admin.UpdateQueue(pb.UpdateQueueRequest(queue=lab.queue, settings=settings)))
    assert fields_of(wrong) == fields
    assert not await lab.engine.directory.knows(lab.queue)


async def test_pause_and_resume(desk: Desk, lab: Lab) -> None:
    await lab.enqueued(a_job())
    for _ in range(2):
        paused = await desk.admin.PauseQueue(pb.PauseQueueRequest(queue=lab.queue))
        assert (paused.queue.name, paused.queue.paused) == (lab.queue, True)
    assert (await lab.claim()).jobs == []
    resumed = await desk.admin.ResumeQueue(pb.ResumeQueueRequest(queue=lab.queue))
    assert not resumed.queue.paused
    assert len((await lab.claim()).jobs) == 1


async def test_a_queue_never_seen(desk: Desk) -> None:
    name, job_id = "nowhere", uuid_text(new_id())
    for call in (
        desk.admin.Stats(pb.StatsRequest(queue=name)),
        desk.admin.WatchStats(pb.WatchStatsRequest(queue=name)),
        desk.admin.GetHistory(pb.GetHistoryRequest(queue=name)),
        desk.admin.PauseQueue(pb.PauseQueueRequest(queue=name)),
        desk.admin.ResumeQueue(pb.ResumeQueueRequest(queue=name)),
        desk.admin.PurgeQueue(pb.PurgeQueueRequest(queue=name, confirm=name)),
        desk.admin.ListJobs(pb.ListJobsRequest(queue=name, state=job_pb2.JOB_STATE_READY)),
        desk.admin.GetJob(pb.GetJobRequest(queue=name, job_id=job_id)),
        desk.admin.RunJobNow(pb.RunJobNowRequest(queue=name, job_id=job_id)),
        desk.admin.CancelJobs(pb.CancelJobsRequest(queue=name, filter=pb.JobFilter(all=True))),
        desk.admin.Audit(pb.AuditRequest(queue=name)),
    ):
        error = await refusal(call)
        assert (error.code(), reason_of(error)) == (grpc.StatusCode.NOT_FOUND, "QUEUE_NOT_FOUND")


async def test_purge_deletes_what_waits_and_leaves_the_rest(desk: Desk, lab: Lab) -> None:
    await lab.enqueued(*(a_job() for _ in range(400)))
    await lab.enqueued(*(a_job(delay_ms=1000) for _ in range(300)))
    (leased,) = (await lab.claim()).ids
    unconfirmed = await refusal(desk.admin.PurgeQueue(pb.PurgeQueueRequest(queue=lab.queue, confirm="yes")))
    assert fields_of(unconfirmed) == ["confirm"]

    (dry,) = await steps_of(desk.admin.PurgeQueue(pb.PurgeQueueRequest(queue=lab.queue, dry_run=True)))
    assert (dry.purged, dry.total) == (699, 699)
    assert len(await lab.ids("ready")) == 399

    done = (await steps_of(desk.admin.PurgeQueue(pb.PurgeQueueRequest(queue=lab.queue, confirm=lab.queue))))[
        -1
    ]
    assert (done.purged, done.total, done.forgotten) == (699, 699, False)
    assert await lab.ids("inflight") == [leased]


async def test_purge_takes_at_most_what_was_there_at_the_start(
    desk: Desk, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    await lab.enqueued(*(a_job() for _ in range(600 - 500)), *(a_job() for _ in range(400)))
    await lab.enqueued(*(a_job() for _ in range(100)))
    purge = lab.ops.purge

    async def purge_while_others_enqueue(queue: str, *, limit: int) -> int:
        await lab.enqueued(*(a_job() for _ in range(50)))
        return await purge(queue, limit=limit)

    monkeypatch.setattr(lab.ops, "purge", purge_while_others_enqueue)
    done = (await steps_of(desk.admin.PurgeQueue(pb.PurgeQueueRequest(queue=lab.queue, confirm=lab.queue))))[
        -1
    ]
    assert (done.purged, done.total) == (600, 600)
    assert len(await lab.ids("ready")) == 100


async def test_forget_removes_an_empty_queue_and_refuses_another(desk: Desk, lab: Lab) -> None:
    await lab.enqueued(a_job())
    await bury(lab, 1)
    request = pb.PurgeQueueRequest(queue=lab.queue, confirm=lab.queue, forget=True)
    ready = await lab.ids("ready")
    refused = await refusal(desk.admin.PurgeQueue(request))
    assert (refused.code(), reason_of(refused)) == (grpc.StatusCode.FAILED_PRECONDITION, "WRONG_STATE")
    assert await lab.ids("ready") == ready, "nothing is deleted when the queue cannot be forgotten"

    await lab.ops.purge_dead(lab.queue, await lab.ids("dead"), died_until_ms=lab.clock.now_ms)
    done = (await steps_of(desk.admin.PurgeQueue(request)))[-1]
    assert done.forgotten
    gone = await refusal(desk.admin.Stats(pb.StatsRequest(queue=lab.queue)))
    assert gone.code() is grpc.StatusCode.NOT_FOUND


# --- jobs


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
    await lab.engine.promote(lab.queue)
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
    assert fields_of(wrong) == ["state"]


async def test_a_whole_job_with_its_failures(desk: Desk, lab: Lab) -> None:
    job = job_pb2.Job(type="mail", payload=b"p" * 20_000)
    lease = await lab.in_flight(a_job(job.SerializeToString(), job_type="mail"))
    await lab.engine.extend(lab.queue, [Extension(lease.id, lease.token, 0.25, "half way")])
    told = await desk.admin.GetJob(pb.GetJobRequest(queue=lab.queue, job_id=uuid_text(lease.id)))
    assert (told.job.id, told.job.payload) == (uuid_text(lease.id), b"p" * 20_000)
    assert (told.summary.progress, told.summary.progress_note) == (0.25, "half way")
    assert told.summary.payload_bytes == 20_000
    assert told.epoch > 0
    assert list(told.failures) == []

    lab.clock.advance(LEASE_MS + 1)
    await lab.engine.reap(lab.queue)
    told = await desk.admin.GetJob(pb.GetJobRequest(queue=lab.queue, job_id=uuid_text(lease.id)))
    (failure,) = told.failures
    assert (failure.attempt, failure.kind) == (1, job_pb2.FAILURE_KIND_LEASE_EXPIRED)
    assert (failure.worker_id, failure.HasField("error")) == ("w", False)

    (listed,) = (
        await desk.admin.ListJobs(pb.ListJobsRequest(queue=lab.queue, state=told.summary.state))
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
        assert (error.code(), reason_of(error)) == (grpc.StatusCode.NOT_FOUND, "JOB_NOT_FOUND")
    wrong = await refusal(desk.admin.GetJob(pb.GetJobRequest(queue=lab.queue, job_id="7")))
    assert fields_of(wrong) == ["job_id"]


async def test_run_now(desk: Desk, lab: Lab) -> None:
    (job_id,) = await lab.enqueued(a_job(delay_ms=60_000))
    request = pb.RunJobNowRequest(queue=lab.queue, job_id=uuid_text(job_id))
    await desk.admin.RunJobNow(request)
    assert await lab.where(job_id) == "ready"
    again = await refusal(desk.admin.RunJobNow(request))
    assert (again.code(), reason_of(again)) == (grpc.StatusCode.FAILED_PRECONDITION, "WRONG_STATE")


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
    answers = await lab.engine.ack(lab.queue, taken.leases)
    assert {answer.word for answer in answers} == {LeaseWord.CANCELLED}


async def test_cancel_while_workers_claim_misses_nothing(
    desk: Desk, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Jobs of one batch share a place in the order; those before the walk's position leave at its head."""
    bad: list[bytes] = []
    for _ in range(4):
        ids = await lab.enqueued(*(a_job(job_type="bad" if i % 2 else "good") for i in range(500)))
        bad += ids[1::2]
    list_jobs, leases = lab.ops.list_jobs, list[Lease]()

    async def list_while_claimed(*args: Any, **options: Any) -> Page:
        page = await list_jobs(*args, **options)
        if len(leases) < 600:
            leases.extend((await lab.claim(200)).leases)
        return page

    monkeypatch.setattr(lab.ops, "list_jobs", list_while_claimed)
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
    list_jobs, late = lab.ops.list_jobs, list[bytes]()

    async def list_and_enqueue(*args: Any, **options: Any) -> Page:
        if not late:
            late.extend(await lab.enqueued(*(a_job(stamped()) for _ in range(20))))
        return await list_jobs(*args, **options)

    monkeypatch.setattr(lab.ops, "list_jobs", list_and_enqueue)
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
    assert fields_of(wrong) == [field]
    assert len(await lab.ids("ready")) == 1


# --- the server


def session(lab: Lab, *, age_ms: int = 0, worker_id: str = "w1") -> bytes:
    return json.dumps(
        {
            "worker_id": worker_id,
            "queues": [["mail", 2], ["video", 1]],
            "max_in_flight": 64,
            "in_flight": 7,
            "client_version": "py/1",
            "connect_ms": lab.clock.now_ms - 60_000,
            "seen_ms": lab.clock.now_ms - age_ms,
            "server_id": "server-2",
            "connected": True,
        }
    ).encode()


async def test_workers_seen_in_the_last_minute(desk: Desk, lab: Lab) -> None:
    await lab.engine.directory.write_sessions(
        {
            "s2": session(lab, worker_id="w2"),
            "s1": session(lab, age_ms=60_000),
            "old": session(lab, age_ms=60_001),
            "foreign": b'{"worker_id": 1}',
        }
    )
    workers = (await desk.admin.ListWorkers(pb.ListWorkersRequest())).workers
    assert [(worker.session_id, worker.worker_id) for worker in workers] == [("s1", "w1"), ("s2", "w2")]
    worker = workers[1]
    assert [(queue.queue, queue.weight) for queue in worker.queues] == [("mail", 2), ("video", 1)]
    assert (worker.max_in_flight, worker.in_flight, worker.connected) == (64, 7, True)
    assert worker.seen_time.ToMilliseconds() == lab.clock.now_ms
    assert (worker.client_version, worker.server_id) == ("py/1", "server-2")


async def test_an_audit_of_sound_queues(desk: Desk, lab: Lab) -> None:
    await lab.enqueued(*(a_job() for _ in range(450)))
    other = new_queue()
    await lab.engine.enqueue(other, [a_job()])
    checked: dict[str, int] = {}
    done: list[str] = []
    async for step in desk.admin.Audit(pb.AuditRequest()):
        assert list(step.findings) == []
        checked[step.queue] = step.checked
        done += [step.queue] if step.done else []
    assert done == sorted([lab.queue, other])
    assert checked[lab.queue] >= 450


@pytest.mark.damages
async def test_an_audit_finds_damage_once(desk: Desk, lab: Lab) -> None:
    ids = await lab.enqueued(*(a_job() for _ in range(450)))
    await lab.command("ZREM", lab.key("ready"), ids[0])
    found = [
        finding
        async for step in desk.admin.Audit(pb.AuditRequest(queue=lab.queue))
        for finding in step.findings
    ]
    assert {(finding.invariant, finding.job_id) for finding in found} == {
        ("I1", ""),
        ("I1", uuid_text(ids[0])),
    }
    assert len([finding for finding in found if not finding.job_id]) == 1


async def test_what_the_server_says_of_itself(desk: Desk) -> None:
    desk.metrics.observe_script("claim", 0.0004, 10)
    desk.metrics.observe_script("claim", 0.0002, 30)
    info = await desk.admin.GetServerInfo(pb.GetServerInfoRequest())
    assert (info.version, info.protocol_version, info.server_id, info.streams) == ("9.9.9", 1, "server-1", 3)
    assert (info.limits.payload_bytes_max, info.limits.streams_max) == (1 << 20, 77)
    assert (info.limits.lease_min, info.limits.lease_max) == (duration(1000), duration(3_600_000))
    assert (info.store.server, info.store.embedded, info.store.durability) == (
        "valkey",
        True,
        pb.DURABILITY_OS,
    )
    assert list(info.store.warnings) == ["slow disk"]
    (claim,) = info.scripts
    assert (claim.name, claim.calls, claim.jobs) == ("claim", 2, 40)
    assert (claim.mean.ToMicroseconds(), claim.max.ToMicroseconds()) == (300, 400)
