"""AdminService: what operators and dashboards call."""

import asyncio
import time
from bisect import bisect_left, bisect_right
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any

import grpc

from relay.v1 import admin_service_pb2, admin_service_pb2_grpc
from relay.v1.job_pb2 import JobSummary
from relay_server import errors, limits
from relay_server.engine import Engine, Operations, bulk
from relay_server.engine.snapshots import store_now_ms
from relay_server.engine.turns import Lane, Steps, Turns
from relay_server.model import SET_ASIDE, CancelWord, QueueSnapshot, State, StoredJob, Want
from relay_server.rpc import convert_admin, page_tokens, workers_page
from relay_server.rpc.convert import timestamp
from relay_server.rpc.jobs_page import (
    JobsPage,
    cursor_position,
    page_size,
    read_cursor,
    read_page,
    summaries,
)
from relay_server.rpc.selection import read_ids, require_selection
from relay_server.rpc.server_facts import ServerFacts
from relay_server.rpc.stats_feed import StatsFeed
from relay_server.rpc.validate import Checks
from relay_server.security.principals import Role, caller

pb = admin_service_pb2
Context = grpc.aio.ServicerContext[Any, Any]

_QUEUES_PER_PAGE = 100
_WORKERS_PER_PAGE = 100
_HISTORY_SPAN_MS = 3600 * limits.SECOND_MS
# In the order in which jobs move on by themselves, so that none slips past from a state still to come.
_CANCELLED_STATES = (State.DELAYED, State.READY, State.INFLIGHT)
_RUN_NOW_ERRORS: dict[str, type[errors.RelayError]] = {
    "GONE": errors.JobNotFound,
    "WRONG_STATE": errors.WrongState,
}


class AdminService(admin_service_pb2_grpc.AdminServiceServicer):
    """Parses, asks the engine, replies. Set `draining` and running bulk work ends with Draining; close the feed too."""

    def __init__(
        self,
        ops: Operations,
        engine: Engine,
        turns: Turns,
        feed: StatsFeed,
        facts: ServerFacts,
        *,
        draining: asyncio.Event,
    ) -> None:
        self._ops = ops
        self._turns = turns
        self._names = engine.names
        self._roster = engine.roster
        self._feed = feed
        self._facts = facts
        self._draining = draining

    # --- looking at queues

    async def Stats(self, request: pb.StatsRequest, context: Context) -> pb.StatsResponse:
        following = ""
        if request.queue:
            snapshots = [await self._ops.stats(await self._known(request.queue))]
        else:
            names, following = await self._page_of_names("stats", request)
            snapshots = await self._feed.snapshots.read(names)
        return pb.StatsResponse(
            queues=map(convert_admin.queue_stats, snapshots),
            time=timestamp(await self._time_of(snapshots)),
            next_page_token=following,
        )

    async def WatchStats(self, request: pb.WatchStatsRequest, context: Context) -> None:  # type: ignore[override]
        queue, principal, version = request.queue, caller.get(), 0
        if queue:
            await self._known(queue)

        def shows(name: str) -> bool:
            return name == queue if queue else principal.may(Role.VIEWER, name)

        with self._feed.watching() as following:
            while True:
                await following()
                version, frames = self._feed.frames((principal, queue), shows, version)
                for frame in frames:
                    await context.write(frame)

    async def GetHistory(self, request: pb.GetHistoryRequest, context: Context) -> pb.GetHistoryResponse:
        checks = Checks()
        span_ms = checks.duration(request.span, "span", high_ms=limits.HISTORY_SPAN_MS_MAX)
        queue = checks.queue(request.queue)
        checks.done()
        await self._known(queue)
        now_ms = (await self._ops.stats(queue)).now_ms
        since_minute = (now_ms - (span_ms or _HISTORY_SPAN_MS)) // 60_000
        rows = await self._ops.history(queue, since_minute=0)  # the row before the first gives its start
        # The row of a minute is written in the next one, early: of the last minute there may be none yet.
        until_minute = now_ms // 60_000 - 1
        return pb.GetHistoryResponse(
            buckets=convert_admin.history_buckets(rows, since_minute=since_minute, until_minute=until_minute)
        )

    async def ListQueues(self, request: pb.ListQueuesRequest, context: Context) -> pb.ListQueuesResponse:
        names, following = await self._page_of_names("queues", request)
        return pb.ListQueuesResponse(
            queues=map(convert_admin.queue_with_settings, await self._feed.snapshots.read(names)),
            next_page_token=following,
        )

    async def ListWorkers(self, request: pb.ListWorkersRequest, context: Context) -> pb.ListWorkersResponse:
        checks = Checks()
        position = page_tokens.read(checks, request.page_token, ["workers"])
        after = workers_page.read_place(checks, position)
        checks.done()
        size = page_size(request.page_size, default=_WORKERS_PER_PAGE)
        found, place = await workers_page.read_page(self._roster, caller.get(), after=after, size=size)
        return pb.ListWorkersResponse(
            workers=map(convert_admin.worker, found),
            next_page_token=page_tokens.make(["workers"], [place.hex()]) if place else "",
        )

    async def GetServerInfo(
        self, request: pb.GetServerInfoRequest, context: Context
    ) -> pb.GetServerInfoResponse:
        return convert_admin.server_info(self._facts, await self._facts.store_info())

    # --- changing queues

    async def UpdateQueue(self, request: pb.UpdateQueueRequest, context: Context) -> pb.UpdateQueueResponse:
        checks = Checks()
        queue = checks.queue(request.queue)
        values = convert_admin.changed_settings(checks, request.settings)
        checks.done()
        await self._ops.configure(queue, values, owner=caller.get().owner)
        return pb.UpdateQueueResponse(queue=await self._queue(queue))

    async def PauseQueue(self, request: pb.PauseQueueRequest, context: Context) -> pb.PauseQueueResponse:
        queue = await self._known(request.queue)
        await self._ops.pause(queue)
        return pb.PauseQueueResponse(queue=await self._queue(queue))

    async def ResumeQueue(self, request: pb.ResumeQueueRequest, context: Context) -> pb.ResumeQueueResponse:
        queue = await self._known(request.queue)
        await self._ops.resume(queue)
        return pb.ResumeQueueResponse(queue=await self._queue(queue))

    async def PurgeQueue(self, request: pb.PurgeQueueRequest, context: Context) -> None:  # type: ignore[override]
        checks = Checks()
        queue = checks.queue(request.queue)
        if request.confirm != queue and not request.dry_run:
            checks.add("confirm", "must be the name of the queue again, typed by the person who purges it")
        checks.done()
        await self._known(queue)
        start = await self._ops.stats(queue)
        if request.forget and not request.dry_run:
            _refuse_to_forget(start.queue, start.inflight + start.dead)
        total = start.ready + start.delayed + start.unreadable
        steps = bulk.purge_waiting(
            self._ops,
            queue,
            total=total,
            dry_run=request.dry_run,
            steps=Steps(self._lane()),
            pace=bulk.Pace(self._draining),
        )
        async with aclosing(steps):
            async for step in steps:
                if step.done and request.forget and not request.dry_run:
                    _refuse_to_forget(queue, 0 if await self._ops.forget(queue) else 1)
                await context.write(
                    pb.PurgeQueueResponse(
                        purged=step.matched if request.dry_run else step.changed,
                        total=total,
                        forgotten=step.done and request.forget and not request.dry_run,
                        done=step.done,
                    )
                )

    async def Audit(self, request: pb.AuditRequest, context: Context) -> None:  # type: ignore[override]
        queues = (
            [await self._known(request.queue)]
            if request.queue
            else caller.get().visible(await self._names.all())
        )
        pace, lane = bulk.Pace(self._draining), self._lane()
        for queue in queues:
            checked, told = 0, set[object]()
            cursor: tuple[str, str, str] | None = None
            while True:
                page = await lane.take(partial(self._ops.audit, queue, cursor))
                checked, cursor = checked + page.checked, page.cursor
                # Sizes are compared at every step, so a difference is found again and again.
                news = [found for found in page.findings if found not in told]
                told.update(news)
                due = pace.due()
                if due or news or cursor is None:
                    await context.write(
                        pb.AuditResponse(
                            queue=queue,
                            checked=checked,
                            findings=map(convert_admin.finding, news),
                            done=cursor is None,
                        )
                    )
                if cursor is None:
                    break

    # --- jobs

    async def ListJobs(self, request: pb.ListJobsRequest, context: Context) -> pb.ListJobsResponse:
        checks = Checks()
        queue = checks.queue(request.queue)
        state = _state(checks, request.state, "state", tuple(State))
        query = ["jobs", queue, str(request.state), request.type, request.job_id]
        cursor = read_cursor(page_tokens.read(checks, request.page_token, query), checks)
        job_id = checks.job_id(request.job_id, "job_id") if request.job_id else None
        checks.done()
        await self._known(queue)
        lane = self._lane()
        async with lane.page():
            if job_id is not None:
                page = await self._page_of_one(queue, state, job_id, request.type)
            else:
                size, want = page_size(request.page_size), Want(type=request.type)
                page = await read_page(self._ops, lane, queue, state, cursor=cursor, size=size, want=want)
            return pb.ListJobsResponse(
                jobs=await self._summaries(queue, page.jobs),
                next_page_token=page_tokens.make(query, cursor_position(page.cursor)) if page.cursor else "",
                total=page.total,
            )

    async def GetJob(self, request: pb.GetJobRequest, context: Context) -> pb.GetJobResponse:
        queue, job_id = await self._named_job(request)
        job, now = await asyncio.gather(self._ops.get_job(queue, job_id), self._ops.stats(queue))
        if job is None:
            raise _no_job(errors.JobNotFound, queue, request.job_id)
        return convert_admin.whole_job(queue, job, priority_step_ms=now.settings.priority_step_ms)

    async def RunJobNow(self, request: pb.RunJobNowRequest, context: Context) -> pb.RunJobNowResponse:
        queue, job_id = await self._named_job(request)
        refusal = _RUN_NOW_ERRORS.get(await self._ops.run_now(queue, job_id))
        if refusal is not None:
            raise _no_job(refusal, queue, request.job_id)
        return pb.RunJobNowResponse()

    async def CancelJobs(self, request: pb.CancelJobsRequest, context: Context) -> None:  # type: ignore[override]
        async with aclosing(self._cancel(request)) as steps:
            async for step in steps:
                await context.write(
                    pb.CancelJobsResponse(
                        examined=step.examined,
                        matched=step.matched,
                        cancelled=step.changed,
                        total=step.total,
                        sample=await self._summaries(request.queue, step.sample),
                        done=step.done,
                    )
                )

    async def _cancel(self, request: pb.CancelJobsRequest) -> AsyncGenerator[bulk.Progress, None]:
        checks = Checks()
        queue = checks.queue(request.queue)
        ids = read_ids(checks, request.ids) if request.HasField("ids") else []
        states: Sequence[State] = _CANCELLED_STATES
        if request.filter.state:
            states = [_state(checks, request.filter.state, "filter.state", _CANCELLED_STATES)]
        require_selection(checks, request, "job")
        checks.done()
        await self._known(queue)

        async def act(job_ids: Sequence[bytes]) -> int:
            words = await self._ops.cancel(queue, job_ids)
            return sum(word in (CancelWord.REMOVED, CancelWord.FLAGGED) for word in words)

        pace, bulk_steps = bulk.Pace(self._draining), Steps(self._lane())
        if request.HasField("ids"):
            steps = bulk.by_ids(
                self._ops,
                queue,
                ids,
                states=frozenset({*states, SET_ASIDE}),
                act=act,
                dry_run=request.dry_run,
                steps=bulk_steps,
                pace=pace,
            )
        else:
            steps = bulk.by_filter(
                self._ops,
                queue,
                states,
                total=_jobs_in(await self._ops.stats(queue), states),
                want=Want(type=request.filter.type, taken_until_ms=time.time_ns() / 1e6),
                act=act,
                dry_run=request.dry_run,
                steps=bulk_steps,
                pace=pace,
            )
        async with aclosing(steps):
            async for step in steps:
                yield step

    # --- shared

    async def _page_of_names(
        self, what: str, request: pb.StatsRequest | pb.ListQueuesRequest
    ) -> tuple[list[str], str]:
        """Names of queues that the caller may see, and the token of the page behind them."""
        checks = Checks()
        query = [what, request.prefix]
        position = page_tokens.read(checks, request.page_token, query)
        checks.done()
        names = await self._names.all()
        at = bisect_right(names, position[0]) if position else bisect_left(names, request.prefix)
        size = page_size(request.page_size, default=_QUEUES_PER_PAGE)
        page: list[str] = []
        while at < len(names) and names[at].startswith(request.prefix) and len(page) <= size:
            if caller.get().may(Role.VIEWER, names[at]):
                page.append(names[at])
            at += 1
        following = page_tokens.make(query, [page[size - 1]]) if len(page) > size else ""
        return page[:size], following

    def _lane(self) -> Lane:
        return self._turns.of(caller.get().name)

    async def _known(self, name: str) -> str:
        checks = Checks()
        queue = checks.queue(name)
        checks.done()
        await self._names.check_known(queue)
        return queue

    async def _queue(self, queue: str) -> pb.Queue:
        return convert_admin.queue_with_settings(await self._ops.stats(queue))

    async def _time_of(self, snapshots: Sequence[QueueSnapshot]) -> int:
        """The store's time of these snapshots; the present without any."""
        if snapshots:  # of which those that did not change are as old as their last change
            return max(self._feed.snapshots.now_ms, *(snapshot.now_ms for snapshot in snapshots))
        return await store_now_ms(self._ops)

    async def _named_job(self, request: pb.GetJobRequest | pb.RunJobNowRequest) -> tuple[str, bytes]:
        checks = Checks()
        queue = checks.queue(request.queue)
        job_id = checks.job_id(request.job_id, "job_id")
        checks.done()
        return await self._known(queue), job_id

    async def _page_of_one(self, queue: str, state: State, job_id: bytes, job_type: str) -> JobsPage:
        job, now = await asyncio.gather(self._ops.get_job(queue, job_id), self._ops.stats(queue))
        found = [job] if job is not None and job.state is state and job_type in ("", job.record.type) else []
        return JobsPage(jobs=found, cursor=None, total=_jobs_in(now, [state]))

    async def _summaries(self, queue: str, jobs: Sequence[StoredJob]) -> list[JobSummary]:
        step_ms = 0
        if any(job.state is State.READY and job.record.priority for job in jobs):
            step_ms = (await self._ops.stats(queue)).settings.priority_step_ms
        return await self._lane().take(partial(summaries, queue, jobs, priority_step_ms=step_ms))


def _state(checks: Checks, number: int, field: str, allowed: Sequence[State]) -> State:
    if number in allowed:
        return State(number)
    names = ", ".join(state.name for state in allowed)
    hint = "; for dead letters use DeadLetterService" if State.DEAD not in allowed else ""
    checks.add(field, f"must be one of {names}{hint}")
    return allowed[0]


def _jobs_in(snapshot: QueueSnapshot, states: Iterable[State]) -> int:
    sizes = {
        State.READY: snapshot.ready,
        State.DELAYED: snapshot.delayed,
        State.INFLIGHT: snapshot.inflight,
        State.DEAD: snapshot.dead,
    }
    return sum(sizes[state] for state in states)


def _refuse_to_forget(queue: str, jobs: int) -> None:
    if jobs:
        raise errors.WrongState(
            f"queue {queue} still holds jobs, so it cannot be forgotten: let those in flight finish or cancel them, "
            "purge its dead letters, then purge it again with forget",
            metadata={"queue": queue},
        )


def _no_job(kind: type[errors.RelayError], queue: str, job_id: str) -> errors.RelayError:
    text = (
        f"queue {queue} holds no job {job_id}"
        if kind is errors.JobNotFound
        else f"job {job_id} is not delayed, so there is nothing to wait for"
    )
    return kind(text, metadata={"queue": queue, "job_id": job_id})
