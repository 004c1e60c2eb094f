"""`relay dead`: list, group, requeue and purge dead letters."""

from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from relay_cli import bulk
from relay_cli.errors import length, usage
from relay_cli.jobs import CountOption, JobsArgument, Page, TypeOption, checked_ids, list_pages
from relay_cli.options import options_of
from relay_cli.output import ago, count, note, one_line, plain, print_json, print_table, word
from relay_cli.queues import DryRunOption, QueueArgument, YesOption

if TYPE_CHECKING:
    from relay.v1.dead_letter_service_pb2 import DeadLetterFilter
    from relay.v1.job_pb2 import JobSummary

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="List, group, requeue and purge dead letters."
)

ErrorOption = Annotated[
    str, typer.Option("--error", metavar="TYPE", help="Only those whose last error has exactly this type.")
]
SinceOption = Annotated[
    str | None,
    typer.Option(
        metavar="DURATION", help='Only those that died within this time, as in "1h".', show_default=False
    ),
]
UntilOption = Annotated[
    str | None,
    typer.Option(metavar="DURATION", help="Only those that died longer ago than this.", show_default=False),
]
AllOption = Annotated[bool, typer.Option("--all", help="All dead letters of the queue.")]

COLUMNS = ("ID", "TYPE", "DIED", "REASON", ">ATTEMPT", "ERROR")


def row(job: "JobSummary") -> tuple[object, ...]:
    reason = word(job, "dead_reason")
    error = one_line(f"{job.error_type}: {job.error_message}" if job.error_type else job.error_message)
    return job.id, job.type, ago(job.state_time), reason or "", f"{job.attempt}/{job.max_attempts}", error


def _filter(type_: str, error: str, since: str | None, until: str | None, all_: bool) -> "DeadLetterFilter":
    from relay.v1.dead_letter_service_pb2 import DeadLetterFilter

    made = DeadLetterFilter(type=type_, error_type=error, all=all_)
    now = datetime.now(UTC)
    if since is not None:
        made.died_after.FromDatetime(now - length("--since", since))
    if until is not None:
        made.died_before.FromDatetime(now - length("--until", until))
    return made


def _selection(jobs: list[str] | None, which: "DeadLetterFilter") -> "list[str] | DeadLetterFilter":
    if jobs:
        return checked_ids(jobs, bool(which.ListFields()))
    if not which.ListFields():
        raise usage("say which: give ids of jobs, --type, --error, --since, --until or --all")
    return which


@app.command("list", help="List dead letters, newest death first.")
def list_(
    context: typer.Context,
    queue: QueueArgument,
    type_: TypeOption = "",
    error: ErrorOption = "",
    since: SinceOption = None,
    until: UntilOption = None,
    limit: CountOption = 50,
) -> None:
    options = options_of(context)
    which = _filter(type_, error, since, until, all_=False)
    chosen = which if which.ListFields() else None
    with options.admin() as admin:

        def page(size: int, token: str) -> Page:
            found = admin.list_dead_letters(queue, chosen, page_size=size, page_token=token)
            return list(found.jobs), found.next_page_token, found.total

        list_pages(options, page, limit, "dead letters; --limit and the filters choose others", COLUMNS, row)


@app.command(help="Count the newest 10000 dead letters by job type and error type.")
def group(context: typer.Context, queue: QueueArgument) -> None:
    options = options_of(context)
    with options.admin() as admin:
        found = admin.group_dead_letters(queue)
    if options.json:
        print_json(plain(found))
        return
    rows = [
        (count(each.count), each.type, each.error_type, ago(each.first_time), ago(each.last_time))
        for each in found.groups
    ]
    print_table((">COUNT", "TYPE", "ERROR", "FIRST", "LAST"), rows)
    if found.counted < found.total:
        note(f"the newest {count(found.counted)} of {count(found.total)} dead letters were counted")


@app.command(
    help="Send dead letters back to ready with fresh attempts, by id or filter. Dry run and question first."
)
def requeue(
    context: typer.Context,
    queue: QueueArgument,
    jobs: JobsArgument = None,
    type_: TypeOption = "",
    error: ErrorOption = "",
    since: SinceOption = None,
    until: UntilOption = None,
    all_: AllOption = False,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
) -> None:
    which = _selection(jobs, _filter(type_, error, since, until, all_))
    options = options_of(context)
    with options.admin() as admin:
        stream = bulk.steps(partial(admin.requeue_dead_letters, queue, which), "requeued")
        bulk.run(options, _bulk("requeue", "requeued", stream), dry_run=dry_run, yes=yes)


@app.command(help="Delete dead letters for good, by id or filter. Dry run and question first.")
def purge(
    context: typer.Context,
    queue: QueueArgument,
    jobs: JobsArgument = None,
    type_: TypeOption = "",
    error: ErrorOption = "",
    since: SinceOption = None,
    until: UntilOption = None,
    all_: AllOption = False,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
) -> None:
    which = _selection(jobs, _filter(type_, error, since, until, all_))
    options = options_of(context)
    with options.admin() as admin:
        stream = bulk.steps(partial(admin.purge_dead_letters, queue, which), "purged")
        bulk.run(options, _bulk("purge", "purged", stream), dry_run=dry_run, yes=yes)


def _bulk(verb: str, done: str, stream: bulk.Stream) -> bulk.Bulk:
    return bulk.Bulk(verb=verb, done=done, noun="dead letters", stream=stream, columns=COLUMNS, row=row)
