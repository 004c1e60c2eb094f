"""`relay jobs`: list, show, run and cancel jobs that are not dead."""

from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from relay_cli import bulk
from relay_cli.errors import usage
from relay_cli.limits import IDS_MAX
from relay_cli.options import Options, options_of
from relay_cli.output import (
    ago,
    count,
    note,
    one_line,
    payload_text,
    plain,
    print_json,
    print_table,
    say,
    seconds,
    when,
    word,
)
from relay_cli.queues import DryRunOption, QueueArgument, YesOption

if TYPE_CHECKING:
    from relay.v1.admin_service_pb2 import GetJobResponse
    from relay.v1.job_pb2 import JobState, JobSummary

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="List, show, run and cancel jobs.")

JobArgument = Annotated[str, typer.Argument(metavar="JOB", help="Id of the job.")]
JobsArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[JOB]...", help="Ids of jobs.", show_default=False)
]
TypeOption = Annotated[str, typer.Option("--type", metavar="TYPE", help="Only jobs of exactly this type.")]
CountOption = Annotated[int, typer.Option("--limit", "-n", min=1, metavar="N", help="At most so many.")]


class State(StrEnum):
    """Where a job is."""

    READY = "ready"
    DELAYED = "delayed"
    INFLIGHT = "inflight"
    DEAD = "dead"


def _number(state: str) -> "JobState.ValueType":
    from relay.v1 import job_pb2

    return job_pb2.JobState.Value(f"JOB_STATE_{state.upper()}")


COLUMNS = ("ID", "TYPE", "STATE", "SINCE", ">ATTEMPT", ">PRIO", "WORKER", "PAYLOAD")


def row(job: "JobSummary") -> tuple[object, ...]:
    state = word(job, "state") or "?"
    if job.cancelled:
        state = "cancelled"
    return (
        job.id,
        job.type,
        state,
        ago(job.state_time),
        f"{job.attempt}/{job.max_attempts}",
        job.priority,
        job.worker_id,
        payload_text(job.payload_preview, job.payload_bytes),
    )


Page = tuple["list[JobSummary]", str, int]


def list_pages(
    options: Options,
    page: "Callable[[int, str], Page]",
    limit: int,
    hint: str,
    columns: Sequence[str],
    row: "Callable[[JobSummary], Sequence[object]]",
) -> None:
    """Prints up to `limit` jobs from as many pages as it takes; `hint` goes on with "5 of 9 " when there are more.

    page  takes a page size and a page token; gives jobs, the next token and how many there are in all
    """
    jobs: list[JobSummary] = []
    token, total = "", 0
    while True:
        more, token, total = page(min(limit - len(jobs), 500), token)
        jobs += more
        if not token or len(jobs) >= limit:
            break
    jobs = jobs[:limit]
    if options.json:
        print_json({"jobs": [plain(job) for job in jobs], "total": total})
        return
    print_table(columns, map(row, jobs))
    if len(jobs) < total:
        note(f"{len(jobs)} of {count(total)} {hint}")


@app.command(
    "list", help="List jobs of a queue in one state: next to run, next due, next to expire, newest death."
)
def list_(
    context: typer.Context,
    queue: QueueArgument,
    state: Annotated[State, typer.Option(help="Which state.")] = State.READY,
    type_: TypeOption = "",
    limit: CountOption = 50,
) -> None:
    options = options_of(context)
    with options.admin() as admin:

        def page(size: int, token: str) -> Page:
            found = admin.list_jobs(queue, _number(state), type=type_, page_size=size, page_token=token)
            return list(found.jobs), found.next_page_token, found.total

        list_pages(options, page, limit, f"{state} jobs; --limit and --type choose others", COLUMNS, row)


@app.command(help="Show one whole job with its payload and failed attempts.")
def show(context: typer.Context, queue: QueueArgument, job: JobArgument) -> None:
    options = options_of(context)
    with options.admin() as admin:
        found = admin.get_job(queue, job)
    if options.json:
        print_json(plain(found))
        return
    for name, value in _facts(found):
        say(f"{name:<12}  {value}")
    for failure in found.failures:
        kind = word(failure, "kind")
        error = f"  {failure.error.type}: {failure.error.message}" if failure.HasField("error") else ""
        say(f"\nattempt {failure.attempt}  {kind}  {ago(failure.time)}  {failure.worker_id}{error}")
        if failure.error.stack:
            say(failure.error.stack)


def _facts(found: "GetJobResponse") -> Iterator[tuple[str, object]]:
    summary, job = found.summary, found.job
    yield "id", summary.id
    yield "queue", summary.queue
    yield "type", summary.type
    reason = word(summary, "dead_reason")
    state = word(summary, "state")
    yield "state", f"{state}{f' ({reason})' if reason else ''}, {ago(summary.state_time)}"
    if summary.cancelled:
        yield "cancelled", "yes: it ends when its worker answers or its lease runs out"
    yield "attempt", f"{summary.attempt} of {summary.max_attempts}, {summary.expirations} leases ran out"
    yield "priority", summary.priority
    yield "enqueued", f"{when(job.enqueue_time).isoformat(timespec='milliseconds')} ({ago(job.enqueue_time)})"
    if summary.worker_id:
        yield "worker", summary.worker_id
    if summary.progress or summary.progress_note:
        yield "progress", f"{summary.progress:.0%} {summary.progress_note}"
    if job.HasField("max_runtime"):
        yield "max runtime", f"{seconds(job.max_runtime):g} s"
    if job.HasField("expires_at"):
        yield "expires", ago(job.expires_at)
    if job.idempotency_key:
        yield "key", job.idempotency_key
    for name in sorted(job.headers):
        yield "header", f"{name}: {job.headers[name]}"
    yield "content type", job.content_type or "application/json"
    yield "payload", payload_text(job.payload, len(job.payload))
    if summary.error_type or summary.error_message:
        yield "last error", one_line(f"{summary.error_type}: {summary.error_message}")


@app.command("run", help="Make a delayed job ready now.")
def run_now(context: typer.Context, queue: QueueArgument, job: JobArgument) -> None:
    options = options_of(context)
    with options.admin() as admin:
        admin.run_job_now(queue, job)
    if options.json:
        print_json({"queue": queue, "id": job, "state": "ready"})
    else:
        say(f"{job} is ready")


@app.command(
    help="Cancel jobs by id, or those that match. Waiting ones are deleted; those in flight are told to stop. None of "
    "them runs again. Dry run and question first."
)
def cancel(
    context: typer.Context,
    queue: QueueArgument,
    jobs: JobsArgument = None,
    type_: TypeOption = "",
    state: Annotated[
        State | None, typer.Option(help="Only this state: ready, delayed or inflight.", show_default=False)
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="All ready, delayed and inflight jobs.")] = False,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
) -> None:
    from relay.v1.admin_service_pb2 import JobFilter

    options = options_of(context)
    if state is State.DEAD:
        raise usage("--state dead: dead letters are deleted with `relay dead purge`")
    which: list[str] | JobFilter
    if jobs:
        which = checked_ids(jobs, bool(type_ or state or all_))
    elif type_ or state or all_:
        which = JobFilter(type=type_, state=_number(state or "unspecified"), all=all_)
    else:
        raise usage("say which: give ids of jobs, --type, --state or --all")
    with options.admin() as admin:
        stream = bulk.steps(partial(admin.cancel_jobs, queue, which), "cancelled")
        what = bulk.Bulk(
            verb="cancel", done="cancelled", noun="jobs", stream=stream, columns=COLUMNS, row=row
        )
        bulk.run(options, what, dry_run=dry_run, yes=yes)


def checked_ids(jobs: list[str], has_filter: bool) -> list[str]:
    """Ids given as arguments; CliError when they cannot go into one call."""
    if has_filter:
        raise usage("give ids of jobs, or a filter, not both")
    if len(jobs) > IDS_MAX:
        raise usage(f"{len(jobs)} ids: at most {IDS_MAX} fit into one call")
    return jobs
