"""Commands about whole queues: queues, pause, resume, limit, purge-queue."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relay_cli import bulk
from relay_cli.errors import length, usage
from relay_cli.options import Options, options_of
from relay_cli.output import age, count, plain, print_json, print_table, say, several

if TYPE_CHECKING:
    from relay.v1.admin_service_pb2 import Queue
    from relay_client.admin import Admin

QueueArgument = Annotated[str, typer.Argument(metavar="QUEUE", help="Name of the queue.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Count and show a sample; change nothing.")]

LIMIT_HELP = (
    "Set or show the limits and other settings of a queue. Without options it shows them. The rate is a token bucket "
    "on claims, over all workers together."
)
PURGE_HELP = (
    "Delete the ready and delayed jobs of a queue and those set aside as unreadable, after a dry run and a question. "
    "Jobs in flight and dead letters stay."
)


def list_(
    context: typer.Context,
    prefix: Annotated[str, typer.Option(metavar="TEXT", help="Only names that start so.")] = "",
) -> None:
    options = options_of(context)
    with options.admin() as admin:
        queues = list(admin.queues(prefix))
        stats = {each.queue: each for each in admin.stats(prefix=prefix).queues}
    if options.json:
        print_json({"queues": [_entry(each, stats.get(each.name)) for each in queues]})
        return
    rows = []
    for each in queues:
        found = stats.get(each.name)
        states = (
            ("", "", "", "", "")
            if found is None
            else (
                count(found.ready),
                count(found.delayed),
                count(found.inflight),
                count(found.dead),
                age(found.oldest_ready_age.ToTimedelta()) if found.ready else "",
            )
        )
        rows.append((each.name, *states, "paused" if each.paused else "", _rate(each)))
    print_table(("QUEUE", ">READY", ">DELAYED", ">INFLIGHT", ">DEAD", ">OLDEST", "PAUSED", "RATE"), rows)


def _entry(queue: "Queue", stats: Any) -> dict[str, Any]:
    return {**plain(queue), "stats": None if stats is None else plain(stats)}


def _rate(queue: "Queue") -> str:
    settings = queue.settings
    if not settings.rate:
        return ""
    return f"{settings.rate:g}/s" + (f", burst {settings.burst}" if settings.burst else "")


def pause(context: typer.Context, queue: QueueArgument) -> None:
    options = options_of(context)
    with options.admin() as admin:
        _show_change(options, admin.pause(queue), "is paused")


def resume(context: typer.Context, queue: QueueArgument) -> None:
    options = options_of(context)
    with options.admin() as admin:
        _show_change(options, admin.resume(queue), "is not paused")


def _show_change(options: Options, queue: "Queue", text: str) -> None:
    if options.json:
        print_json(plain(queue))
    else:
        say(f"{queue.name} {text}")


def limit(
    context: typer.Context,
    queue: QueueArgument,
    rate: Annotated[
        float | None,
        typer.Option(metavar="N", help="Claims a second, above 0 to 1000000.", show_default=False),
    ] = None,
    burst: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Claims at once after a quiet time, 1 to 1000000. Default: the rate.",
            show_default=False,
        ),
    ] = None,
    max_jobs: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Jobs the queue may hold, in all states; 0: no limit.", show_default=False
        ),
    ] = None,
    priority_step: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION",
            help="Head start of one point of priority, 0s to 7d, for jobs that become ready from now on.",
            show_default=False,
        ),
    ] = None,
    max_expirations: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Lease expirations that make a job a dead letter, 1 to 1000.",
            show_default=False,
        ),
    ] = None,
    off: Annotated[bool, typer.Option("--off", help="Remove the rate limit.")] = False,
) -> None:
    from relay.v1.admin_service_pb2 import QueueSettings
    from relay_client.durations import to_proto

    options = options_of(context)
    if off and (rate is not None or burst is not None):
        raise usage("--off removes the rate limit: leave out --rate and --burst")
    if rate is not None and not rate > 0:
        raise usage(f"--rate: must be above 0, is {rate:g}; to remove the limit write --off")
    settings = QueueSettings(max_jobs=max_jobs, max_expirations=max_expirations)
    if priority_step is not None:
        settings.priority_step.CopyFrom(to_proto(length("--priority-step", priority_step)))
    if off:
        settings.MergeFrom(QueueSettings(rate=0, burst=0))
    elif rate is not None or burst is not None:
        settings.MergeFrom(QueueSettings(rate=rate, burst=burst))
    with options.admin() as admin:
        found = admin.update_queue(queue, settings) if settings.ListFields() else _find(admin, queue)
    most = (
        f"at most {several(found.settings.max_jobs, 'jobs')}"
        if found.settings.max_jobs
        else "any number of jobs"
    )
    step = age(found.settings.priority_step.ToTimedelta())
    lost = several(found.settings.max_expirations, "lost leases")
    _show_change(
        options,
        found,
        f"has {_rate(found) or 'no rate limit'} and {most}; a point of priority is {step} of head start; "
        f"a job is dead after {lost}",
    )


def _find(admin: "Admin", name: str) -> "Queue":
    admin.stats(name)  # refuses a name never seen, and one that cannot be
    return next(queue for queue in admin.queues(name) if queue.name == name)


def purge(
    context: typer.Context,
    queue: QueueArgument,
    forget: Annotated[
        bool,
        typer.Option(
            "--forget", help="Then forget the queue with settings, counters and history, if no job is left."
        ),
    ] = False,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
) -> None:
    options = options_of(context)
    with options.admin() as admin:

        def stream(dry: bool) -> Iterator[bulk.Step]:
            answers = admin.purge_queue(
                queue, confirm="" if dry else queue, forget=forget and not dry, dry_run=dry
            )
            for answer in answers:
                found = answer.purged if dry else answer.total
                yield bulk.Step(
                    examined=answer.purged,
                    matched=found,
                    changed=0 if dry else answer.purged,
                    total=answer.total,
                )

        def confirm(question: str) -> bool:
            typed: str = typer.prompt(
                f"{question} Type the queue's name", err=True, default="", show_default=False
            )
            return typed == queue

        what = bulk.Bulk(
            verb="purge",
            done="purged",
            noun="waiting jobs",
            stream=stream,
            columns=(),
            row=lambda _: (),
            even_if_none=forget,
        )
        bulk.run(options, what, dry_run=dry_run, yes=yes, confirm=confirm)
        if forget and not dry_run and not options.json:
            say(f"{queue} is forgotten")
