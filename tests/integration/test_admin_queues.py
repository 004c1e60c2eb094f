"""What operators do to queues over gRPC: look, change settings, pause, purge, forget."""

import asyncio
from typing import Any

import grpc
import pytest

from relay.v1 import admin_service_pb2 as pb
from relay.v1 import job_pb2
from relay_server.rpc.convert import duration
from relay_server.rpc.ids import uuid_text
from tests.support.engine import Lab, a_job, new_id, new_queue
from tests.support.operator_desk import Desk, bury, steps_of
from tests.support.relay import refusal


async def test_stats_of_one_queue_and_of_all(desk: Desk, lab: Lab) -> None:
    await lab.enqueued(a_job(), a_job(), a_job(delay_ms=5000))
    await lab.claim(1)
    lab.clock.advance(1500)
    other = new_queue()
    await lab.transitions.enqueue(other, [a_job()])

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
    await lab.names.enter("damaged")
    await lab.command("SET", "relay:{damaged}:ready", "x")
    everything = await desk.admin.Stats(pb.StatsRequest())
    assert [queue.queue for queue in everything.queues] == [lab.queue]
    assert (await refusal(desk.admin.Stats(pb.StatsRequest(queue="damaged")))).code is (
        grpc.StatusCode.FAILED_PRECONDITION
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
    while [queue.ready for queue in (await call.read()).queues] != [ready]:
        pass


async def test_a_watch_ends_when_the_server_drains(desk: Desk, lab: Lab) -> None:
    await lab.enqueued(a_job())
    call = desk.admin.WatchStats(pb.WatchStatsRequest())
    await call.read()
    desk.feed.close()
    async with asyncio.timeout(5):
        ended = await refusal(call)
    assert (ended.code, ended.reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
    again = await refusal(desk.admin.WatchStats(pb.WatchStatsRequest()))
    assert again.reason == "DRAINING"
    assert not desk.feed.polling


async def test_history_tells_what_happened_in_each_minute(desk: Desk, lab: Lab) -> None:
    minute = lab.clock.now_ms // 60_000
    await lab.enqueued(a_job(), a_job())
    await lab.ops.record_history([lab.queue], minute)
    taken = await lab.claim(2)
    await lab.transitions.ack(lab.queue, taken.leases[:1])
    await lab.ops.record_history([lab.queue], minute + 1)
    await bury(lab, 1)
    await lab.ops.record_history([lab.queue], minute + 3)  # no server ran in minute + 2
    lab.clock.advance(4 * 60_000)

    history = await desk.admin.GetHistory(pb.GetHistoryRequest(queue=lab.queue))
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
        for bucket in history.buckets
    ]
    assert rows == [(0, 2, 0, 0, 0, 2, 0), (1, 0, 1, 0, 0, 0, 1), (3, 1, 0, 1, 1, 0, 1)]

    late = await desk.admin.GetHistory(pb.GetHistoryRequest(queue=lab.queue, span=duration(2 * 60_000)))
    assert [bucket.enqueued for bucket in late.buckets] == [1]
    wrong = await refusal(
        desk.admin.GetHistory(pb.GetHistoryRequest(queue=lab.queue, span=duration(90_000_000)))
    )
    assert list(wrong.fields) == ["span"]


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
    assert list(foreign.fields) == ["page_token"]


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
    assert list(wrong.fields) == fields
    assert not await lab.names.knows(lab.queue)


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
        assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "QUEUE_NOT_FOUND")


async def test_purge_deletes_what_waits_and_leaves_the_rest(desk: Desk, lab: Lab) -> None:
    await lab.enqueued(*(a_job() for _ in range(400)))
    await lab.enqueued(*(a_job(delay_ms=1000) for _ in range(300)))
    (leased,) = (await lab.claim()).ids
    unconfirmed = await refusal(desk.admin.PurgeQueue(pb.PurgeQueueRequest(queue=lab.queue, confirm="yes")))
    assert list(unconfirmed.fields) == ["confirm"]

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
    purge, late = lab.ops.purge, 0

    async def purge_while_others_enqueue(queue: str, *, limit: int) -> int:
        nonlocal late
        late += len(await lab.enqueued(*(a_job() for _ in range(50))))
        return await purge(queue, limit=limit)

    monkeypatch.setattr(lab.ops, "purge", purge_while_others_enqueue)
    done = (await steps_of(desk.admin.PurgeQueue(pb.PurgeQueueRequest(queue=lab.queue, confirm=lab.queue))))[
        -1
    ]
    assert (done.purged, done.total) == (600, 600)
    assert len(await lab.ids("ready")) == late >= 100


async def test_forget_removes_an_empty_queue_and_refuses_another(desk: Desk, lab: Lab) -> None:
    await lab.enqueued(a_job())
    await bury(lab, 1)
    request = pb.PurgeQueueRequest(queue=lab.queue, confirm=lab.queue, forget=True)
    ready = await lab.ids("ready")
    refused = await refusal(desk.admin.PurgeQueue(request))
    assert (refused.code, refused.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "WRONG_STATE")
    assert await lab.ids("ready") == ready, "nothing is deleted when the queue cannot be forgotten"

    await lab.ops.purge_dead(lab.queue, await lab.ids("dead"), died_until_ms=lab.clock.now_ms)
    done = (await steps_of(desk.admin.PurgeQueue(request)))[-1]
    assert done.forgotten
    gone = await refusal(desk.admin.Stats(pb.StatsRequest(queue=lab.queue)))
    assert gone.code is grpc.StatusCode.NOT_FOUND


async def test_stats_come_in_pages(desk: Desk, lab: Lab) -> None:
    names = sorted([*(f"page-{i:03}" for i in range(250)), "other"])
    await lab.names.enter_all(names)
    found: list[str] = []
    token = ""
    for size in (100, 100, 50):
        page = await desk.admin.Stats(pb.StatsRequest(prefix="page-", page_token=token))
        assert len(page.queues) == size
        found += [one.queue for one in page.queues]
        token = page.next_page_token
    assert token == ""
    assert found == [name for name in names if name.startswith("page-")]
    wrong = await refusal(desk.admin.Stats(pb.StatsRequest(page_token="x")))
    assert wrong.reason == "INVALID_FIELD"
