"""`relay bench`: a quick measurement of one server, shown as a table."""

import secrets
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from relay_cli.errors import CliError
from relay_cli.limits import IN_FLIGHT_MAX
from relay_cli.options import options_of
from relay_cli.output import count, print_json, print_table, say, several

if TYPE_CHECKING:
    from relay_cli.measure import Phase

HELP = (
    "Measure a server in a quick and rough way: enqueue no-op jobs in batches, then claim and acknowledge them all, "
    "in a queue of its own that is forgotten afterwards. This program uses the same cores as a server on this "
    "machine. Exit code 1 when the completions are not exactly the jobs."
)


def bench(
    context: typer.Context,
    jobs: Annotated[int, typer.Option(min=1, max=10_000_000, metavar="N", help="Jobs.")] = 20_000,
    streams: Annotated[int, typer.Option(min=1, max=100, metavar="N", help="Claim streams.")] = 2,
    window: Annotated[
        int, typer.Option(min=1, max=IN_FLIGHT_MAX, metavar="N", help="Unsettled jobs of one stream.")
    ] = 1000,
    payload: Annotated[
        int, typer.Option(min=0, max=1_000_000, metavar="BYTES", help="Size of one payload.")
    ] = 100,
) -> None:
    import asyncio

    from relay_cli.measure import measure

    options = options_of(context)
    queue = f"relay-bench-{secrets.token_hex(4)}"
    with options.admin() as admin:
        version = admin.server_info().version
        try:
            phases, drain = asyncio.run(measure(options, queue, jobs, streams, window, payload))
        finally:
            for _ in admin.purge_queue(queue, confirm=queue, forget=True):
                pass
    exact = len(drain.done) == jobs and drain.done == drain.wanted and not drain.repeated
    if options.json:
        rows = [{**asdict(phase), "per_second": phase.per_second} for phase in phases]
        print_json(
            {
                "event": "done", "server_version": version, "jobs": jobs, "streams": streams, "window": window,
                "payload_bytes": payload, "phases": rows, "distinct": len(drain.done),
                "repeated": drain.repeated, "exact": exact,
            }
        )  # fmt: skip
    else:
        print_table(("PHASE", ">JOBS", ">SECONDS", ">JOBS/s", ">RPCS", ">JOBS/RPC"), map(_row, phases))
        say(
            f"{several(len(drain.done), 'distinct completions')} of {several(jobs, 'jobs')}, {drain.repeated} repeated"
        )
    if not exact:
        raise CliError(
            f"the completions are not the jobs: {len(drain.done)} distinct of {jobs}, {drain.repeated} repeated, "
            f"outcomes {dict(drain.outcomes)}; `relay doctor` looks at the stored data"
        )


def _row(phase: "Phase") -> tuple[object, ...]:
    per_rpc = phase.jobs / max(phase.rpcs, 1)
    return (
        phase.name,
        count(phase.jobs),
        f"{phase.seconds:.3f}",
        count(phase.per_second),
        count(phase.rpcs),
        f"{per_rpc:.1f}",
    )
