"""DeadLetterService: what operators do with jobs that failed for good."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any

import grpc

from relay.v1 import dead_letter_service_pb2, dead_letter_service_pb2_grpc
from relay.v1.job_pb2 import JobSummary
from relay_server.engine import Engine, Operations, bulk
from relay_server.engine.turns import Lane, Steps, Turns
from relay_server.model import Cursor, DeadGroup, State, Want
from relay_server.rpc import convert_admin, page_tokens
from relay_server.rpc.convert import timestamp
from relay_server.rpc.jobs_page import cursor_position, page_size, read_cursor, read_page, summaries
from relay_server.rpc.selection import read_ids, require_selection
from relay_server.rpc.validate import Checks
from relay_server.security.principals import caller

pb = dead_letter_service_pb2
Context = grpc.aio.ServicerContext[Any, Any]

_GROUPED_MAX = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Filter:
    """A checked DeadJobFilter; deaths in [after_ms, until_ms], both inclusive, `until_ms` None: no bound."""

    type: str
    error_type: str
    after_ms: int
    until_ms: int | None

    def want(self, *, until_ms: int | None) -> Want:
        return Want(
            type=self.type,
            error_type=self.error_type,
            oldest_at_ms=self.after_ms or None,
            newest_at_ms=until_ms,
        )


class DeadLetterService(dead_letter_service_pb2_grpc.DeadLetterServiceServicer):
    """Parses, asks the engine, replies. Set `draining` and running bulk work ends with Draining."""

    def __init__(self, ops: Operations, engine: Engine, turns: Turns, *, draining: asyncio.Event) -> None:
        self._ops = ops
        self._turns = turns
        self._engine = engine
        self._draining = draining

    async def ListDeadJobs(
        self, request: pb.ListDeadJobsRequest, context: Context
    ) -> pb.ListDeadJobsResponse:
        checks = Checks()
        queue = checks.queue(request.queue)
        chosen = _filter(checks, request.filter)
        query = ["dead", queue, chosen.type, chosen.error_type, str(chosen.after_ms), str(chosen.until_ms)]
        cursor = read_cursor(page_tokens.read(checks, request.page_token, query), checks)
        checks.done()
        await self._engine.names.check_known(queue)
        lane = self._lane()
        async with lane.page():
            page = await read_page(
                self._ops,
                lane,
                queue,
                State.DEAD,
                cursor=cursor,
                size=page_size(request.page_size),
                want=chosen.want(until_ms=chosen.until_ms),
            )
            return pb.ListDeadJobsResponse(
                jobs=await lane.take(partial(summaries, queue, page.jobs)),
                next_page_token=page_tokens.make(query, cursor_position(page.cursor)) if page.cursor else "",
                total=page.total,
            )

    async def GroupDeadJobs(
        self, request: pb.GroupDeadJobsRequest, context: Context
    ) -> pb.GroupDeadJobsResponse:
        checks = Checks()
        queue = checks.queue(request.queue)
        checks.done()
        await self._engine.names.check_known(queue)
        lane = self._lane()
        found: dict[tuple[str, str], DeadGroup] = {}
        counted, total = 0, 0
        cursor: Cursor | None = None
        while counted < _GROUPED_MAX:
            page = await lane.take(partial(self._ops.group_dead, queue, cursor=cursor))
            total, cursor, counted = page.total, page.cursor, counted + page.examined
            for group in page.groups:
                name = (group.type, group.error_type)
                found[name] = _joined(found.get(name, group._replace(jobs=0)), group)
            if cursor is None:
                break
        groups = [
            pb.DeadJobGroup(
                type=group.type,
                error_type=group.error_type,
                count=group.jobs,
                first_time=timestamp(group.first_ms),
                last_time=timestamp(group.last_ms),
            )
            for group in found.values()
        ]
        groups.sort(key=lambda group: (-group.count, group.type, group.error_type))
        return pb.GroupDeadJobsResponse(groups=groups, counted=counted, total=max(total, counted))

    async def RequeueDeadJobs(  # type: ignore[override]
        self, request: pb.RequeueDeadJobsRequest, context: Context
    ) -> None:
        async with aclosing(self._bulk(request)) as steps:
            async for step in steps:
                await context.write(
                    pb.RequeueDeadJobsResponse(
                        examined=step.examined,
                        matched=step.matched,
                        requeued=step.changed,
                        total=step.total,
                        sample=_sample(request.queue, step),
                        done=step.done,
                    )
                )

    async def PurgeDeadJobs(self, request: pb.PurgeDeadJobsRequest, context: Context) -> None:  # type: ignore[override]
        async with aclosing(self._bulk(request)) as steps:
            async for step in steps:
                await context.write(
                    pb.PurgeDeadJobsResponse(
                        examined=step.examined,
                        matched=step.matched,
                        purged=step.changed,
                        total=step.total,
                        sample=_sample(request.queue, step),
                        done=step.done,
                    )
                )

    async def _bulk(
        self, request: pb.RequeueDeadJobsRequest | pb.PurgeDeadJobsRequest
    ) -> AsyncGenerator[bulk.Progress, None]:
        checks = Checks()
        queue = checks.queue(request.queue)
        ids = read_ids(checks, request.ids) if request.HasField("ids") else []
        chosen = _filter(checks, request.filter)
        require_selection(checks, request, "dead letter")
        checks.done()
        await self._engine.names.check_known(queue)
        start = await self._ops.stats(queue)
        cut_off = start.now_ms
        change = self._ops.requeue if isinstance(request, pb.RequeueDeadJobsRequest) else self._ops.purge_dead

        async def act(job_ids: Sequence[bytes]) -> int:
            return await change(queue, job_ids, died_until_ms=cut_off)

        pace, bulk_steps = bulk.Pace(self._draining), Steps(self._lane())
        if request.HasField("ids"):
            steps = bulk.by_ids(
                self._ops,
                queue,
                ids,
                states=frozenset({State.DEAD}),
                act=act,
                dry_run=request.dry_run,
                steps=bulk_steps,
                pace=pace,
            )
        else:
            until_ms = cut_off if chosen.until_ms is None else min(cut_off, chosen.until_ms)
            steps = bulk.by_filter(
                self._ops,
                queue,
                [State.DEAD],
                total=start.dead,
                want=chosen.want(until_ms=until_ms),
                act=act,
                dry_run=request.dry_run,
                steps=bulk_steps,
                pace=pace,
            )
        async with aclosing(steps):
            async for step in steps:
                yield step

    def _lane(self) -> Lane:
        return self._turns.of(caller.get().name)


def _joined(one: DeadGroup, other: DeadGroup) -> DeadGroup:
    return one._replace(
        jobs=one.jobs + other.jobs,
        first_ms=min(one.first_ms, other.first_ms),
        last_ms=max(one.last_ms, other.last_ms),
    )


def _filter(checks: Checks, message: pb.DeadJobFilter) -> _Filter:
    after_ms, until_ms = 0, None
    if message.HasField("died_after"):
        after_ms = checks.timestamp(message.died_after, "filter.died_after")
    if message.HasField("died_before"):
        until_ms = checks.timestamp(message.died_before, "filter.died_before") - 1
        if until_ms < after_ms:
            checks.add("filter.died_before", "must be later than died_after")
    return _Filter(type=message.type, error_type=message.error_type, after_ms=after_ms, until_ms=until_ms)


def _sample(queue: str, step: bulk.Progress) -> list[JobSummary]:
    return [convert_admin.job_summary(queue, job, priority_step_ms=0) for job in step.sample]
