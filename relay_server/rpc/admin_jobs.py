"""AdminService, the part about jobs: listed, looked at, started, cancelled."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from functools import partial
from typing import Any

import grpc

from relay.v1 import admin_service_pb2, admin_service_pb2_grpc
from relay.v1.job_pb2 import JobSummary
from relay_server import errors
from relay_server.engine import listings
from relay_server.engine.bulk import CANCELLED_STATES, Choice
from relay_server.model import StoredJob, Want
from relay_server.rpc import convert_job, page_tokens
from relay_server.rpc.desk import Desk
from relay_server.rpc.selection import read_ids, read_state, require_selection
from relay_server.rpc.validate import Checks
from relay_server.words import RunNowWord, State

pb = admin_service_pb2
Context = grpc.aio.ServicerContext[Any, Any]

_JOBS_PER_PAGE = 50
_RUN_NOW_ERRORS: dict[RunNowWord, type[errors.RelayError]] = {
    RunNowWord.GONE: errors.JobNotFound,
    RunNowWord.WRONG_STATE: errors.WrongState,
}


class AdminJobs(admin_service_pb2_grpc.AdminServiceServicer):
    """Parses, asks the engine, replies."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def ListJobs(self, request: pb.ListJobsRequest, context: Context) -> pb.ListJobsResponse:
        checks = Checks()
        queue = checks.queue(request.queue)
        state = read_state(checks, request.state, "state", tuple(State))
        query = ["jobs", queue, str(request.state), request.type, request.job_id]
        cursor = page_tokens.read_job(checks, request.page_token, query)
        job_id = checks.job_id(request.job_id, "job_id") if request.job_id else None
        checks.done()
        await self._desk.names.check_known(queue)
        ops, job_type = self._desk.ops, request.type
        async with self._desk.page() as turns:
            if job_id is not None:
                page = await listings.page_of_one(ops, queue, state, job_id, job_type=job_type)
            else:
                size, want = page_tokens.page_size(request.page_size, default=_JOBS_PER_PAGE), Want(job_type)
                page = await listings.jobs_page(ops, turns, queue, state, cursor=cursor, size=size, want=want)
            return pb.ListJobsResponse(
                jobs=await self._summaries(queue, page.jobs),
                next_page_token=page_tokens.after_job(query, page.cursor),
                total=page.total,
            )

    async def GetJob(self, request: pb.GetJobRequest, context: Context) -> pb.GetJobResponse:
        queue, job_id = await self._named_job(request)
        ops = self._desk.ops
        job, now = await asyncio.gather(ops.get_job(queue, job_id), ops.stats(queue))
        if job is None:
            raise _no_job(errors.JobNotFound, queue, request.job_id)
        return convert_job.whole_job(queue, job, priority_step_ms=now.settings.priority_step_ms)

    async def RunJobNow(self, request: pb.RunJobNowRequest, context: Context) -> pb.RunJobNowResponse:
        queue, job_id = await self._named_job(request)
        refusal = _RUN_NOW_ERRORS.get(await self._desk.ops.run_now(queue, job_id))
        if refusal is not None:
            raise _no_job(refusal, queue, request.job_id)
        return pb.RunJobNowResponse()

    async def CancelJobs(self, request: pb.CancelJobsRequest, context: Context) -> None:  # type: ignore[override]
        checks = Checks()
        queue = checks.queue(request.queue)
        ids = read_ids(checks, request)
        states: Sequence[State] = CANCELLED_STATES
        if request.filter.state:
            states = [read_state(checks, request.filter.state, "filter.state", CANCELLED_STATES)]
        require_selection(checks, request, "job")
        checks.done()
        await self._desk.names.check_known(queue)
        choice = Choice(ids=ids, want=Want(type=request.filter.type))
        steps = await self._desk.bulk(queue, dry_run=request.dry_run).cancel(choice, states)
        async with aclosing(steps):
            async for step in steps:
                await context.write(
                    pb.CancelJobsResponse(
                        examined=step.examined,
                        matched=step.matched,
                        cancelled=step.changed,
                        total=step.total,
                        sample=await self._summaries(queue, step.sample),
                        done=step.done,
                    )
                )

    async def _named_job(self, request: pb.GetJobRequest | pb.RunJobNowRequest) -> tuple[str, bytes]:
        checks = Checks()
        queue = checks.queue(request.queue)
        job_id = checks.job_id(request.job_id, "job_id")
        checks.done()
        await self._desk.names.check_known(queue)
        return queue, job_id

    async def _summaries(self, queue: str, jobs: Sequence[StoredJob]) -> list[JobSummary]:
        step_ms = 0
        if any(job.state is State.READY and job.record.priority for job in jobs):
            step_ms = (await self._desk.ops.stats(queue)).settings.priority_step_ms
        return await self._desk.caller_turns().take(
            partial(convert_job.summaries, queue, jobs, priority_step_ms=step_ms)
        )


def _no_job(kind: type[errors.RelayError], queue: str, job_id: str) -> errors.RelayError:
    text = (
        f"queue {queue} holds no job {job_id}"
        if kind is errors.JobNotFound
        else f"job {job_id} is not delayed, so there is nothing to wait for"
    )
    return kind(text, metadata={"queue": queue, "job_id": job_id})
