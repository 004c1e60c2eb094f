"""DeadLetterService: what operators do with jobs that failed for good."""

from contextlib import aclosing
from functools import partial
from typing import Any

import grpc

from relay.v1 import dead_letter_service_pb2, dead_letter_service_pb2_grpc
from relay.v1.job_pb2 import JobSummary
from relay_server.engine import listings
from relay_server.engine.bulk import Bulk, Choice, Progress
from relay_server.model import Want
from relay_server.rpc import convert_job, page_tokens
from relay_server.rpc.desk import Desk
from relay_server.rpc.selection import read_ids, require_selection
from relay_server.rpc.validate import Checks
from relay_server.words import State

pb = dead_letter_service_pb2
Context = grpc.aio.ServicerContext[Any, Any]

_JOBS_PER_PAGE = 50


class DeadLetterService(dead_letter_service_pb2_grpc.DeadLetterServiceServicer):
    """Parses, asks the engine, replies."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def ListDeadLetters(
        self, request: pb.ListDeadLettersRequest, context: Context
    ) -> pb.ListDeadLettersResponse:
        checks = Checks()
        queue = checks.queue(request.queue)
        want = _wanted(checks, request.filter)
        query = ["dead", queue, want.type, want.error_type, str(want.oldest_at_ms), str(want.newest_at_ms)]
        cursor = page_tokens.read_job(checks, request.page_token, query)
        checks.done()
        await self._desk.names.check_known(queue)
        size = page_tokens.page_size(request.page_size, default=_JOBS_PER_PAGE)
        async with self._desk.page() as turns:
            page = await listings.jobs_page(
                self._desk.ops, turns, queue, State.DEAD, cursor=cursor, size=size, want=want
            )
            return pb.ListDeadLettersResponse(
                jobs=await turns.take(partial(convert_job.summaries, queue, page.jobs)),
                next_page_token=page_tokens.after_job(query, page.cursor),
                total=page.total,
            )

    async def GroupDeadLetters(
        self, request: pb.GroupDeadLettersRequest, context: Context
    ) -> pb.GroupDeadLettersResponse:
        queue = await self._desk.known(request.queue)
        found = await listings.group_dead(self._desk.ops, self._desk.caller_turns(), queue)
        return pb.GroupDeadLettersResponse(
            groups=map(convert_job.dead_group, found.groups), counted=found.counted, total=found.total
        )

    async def RequeueDeadLetters(  # type: ignore[override]
        self, request: pb.RequeueDeadLettersRequest, context: Context
    ) -> None:
        work, choice = await self._chosen(request)
        async with aclosing(await work.requeue_dead(choice)) as steps:
            async for step in steps:
                await context.write(
                    pb.RequeueDeadLettersResponse(
                        examined=step.examined,
                        matched=step.matched,
                        requeued=step.changed,
                        total=step.total,
                        sample=_sample(request.queue, step),
                        done=step.done,
                    )
                )

    async def PurgeDeadLetters(self, request: pb.PurgeDeadLettersRequest, context: Context) -> None:  # type: ignore[override]
        work, choice = await self._chosen(request)
        async with aclosing(await work.purge_dead(choice)) as steps:
            async for step in steps:
                await context.write(
                    pb.PurgeDeadLettersResponse(
                        examined=step.examined,
                        matched=step.matched,
                        purged=step.changed,
                        total=step.total,
                        sample=_sample(request.queue, step),
                        done=step.done,
                    )
                )

    async def _chosen(
        self, request: pb.RequeueDeadLettersRequest | pb.PurgeDeadLettersRequest
    ) -> tuple[Bulk, Choice]:
        checks = Checks()
        queue = checks.queue(request.queue)
        choice = Choice(ids=read_ids(checks, request), want=_wanted(checks, request.filter))
        require_selection(checks, request, "dead letter")
        checks.done()
        await self._desk.names.check_known(queue)
        return self._desk.bulk(queue, dry_run=request.dry_run), choice


def _wanted(checks: Checks, message: pb.DeadLetterFilter) -> Want:
    """The filter: deaths in [died_after, died_before)."""
    after_ms, until_ms = 0, None
    if message.HasField("died_after"):
        after_ms = checks.timestamp(message.died_after, "filter.died_after")
    if message.HasField("died_before"):
        until_ms = checks.timestamp(message.died_before, "filter.died_before") - 1
        if until_ms < after_ms:
            checks.add("filter.died_before", "must be later than died_after")
    return Want(
        type=message.type,
        error_type=message.error_type,
        oldest_at_ms=after_ms or None,
        newest_at_ms=until_ms,
    )


def _sample(queue: str, step: Progress) -> list[JobSummary]:
    return [convert_job.job_summary(queue, job, priority_step_ms=0) for job in step.sample]
