"""`relay doctor`: audits the stored data of every queue and judges how the server is set up."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from relay_cli.errors import EXIT_FAILED
from relay_cli.options import options_of
from relay_cli.output import plain, print_json, print_table, say, several, size, word
from relay_cli.progress import Progress

if TYPE_CHECKING:
    from relay.v1.admin_service_pb2 import AuditFinding, GetServerInfoResponse
    from relay_client.admin import Admin

HELP = (
    "Audit the stored data of every queue against the invariants, and check how the server is set up. Read-only. "
    "Exit code 1 when something was found; notes alone are none."
)
PROTOCOL_VERSION: Final = 1
UNREADABLE: Final = "UNREADABLE"
UNREADABLE_HELP: Final = (
    "Jobs that are UNREADABLE were set aside and stop nothing. What is stored of one stays under its id in "
    "relay:{QUEUE}:state and relay:{QUEUE}:body. To delete them: relay jobs cancel QUEUE ID, or "
    "relay purge-queue QUEUE with everything that waits."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """How the server is set up: `warnings` count as findings, `notes` do not."""

    info: "GetServerInfoResponse"
    warnings: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """The result of an audit: the jobs checked in each queue, and the findings."""

    checked: dict[str, int]
    findings: "list[tuple[str, AuditFinding]]"


def doctor(
    context: typer.Context,
    queue: Annotated[str, typer.Option(metavar="NAME", help="Only this queue. Default: all.")] = "",
) -> None:
    options = options_of(context)
    with options.admin() as admin:
        setup = check_setup(admin)
        result = audit(admin, queue, json=options.json)
    if options.json:
        print_json(_document(setup, result))
    else:
        _show(options.server, setup, result)
    if result.findings or setup.warnings:
        raise typer.Exit(EXIT_FAILED)


def check_setup(admin: "Admin") -> Setup:
    """Version, durability and the server's own warnings."""
    from relay_client import __version__

    info = admin.server_info()
    durability = durability_word(info)
    warnings = list(info.store.warnings)
    notes = []
    if durability == "none" and not warnings:
        warnings.append(
            "the store keeps no log: a restart of it loses every job. Turn on appendonly in its configuration."
        )
    if durability == "everysec":
        notes.append(
            "a power loss may cost the last one or two seconds of acknowledged jobs; appendfsync always would not"
        )
    if info.protocol_version > PROTOCOL_VERSION:
        warnings.append(
            f"the server speaks protocol {info.protocol_version}, this program {PROTOCOL_VERSION}: update this program"
        )
    if info.version != __version__:
        notes.append(f"the server is version {info.version}, this program {__version__}")
    used, most = info.store.used_memory_bytes, info.store.max_memory_bytes
    if most and used > 0.9 * most:
        warnings.append(
            f"the store uses {size(used)} of the {size(most)} it may have: new jobs will be refused soon"
        )
    return Setup(info=info, warnings=tuple(warnings), notes=tuple(notes))


def audit(admin: "Admin", queue: str = "", *, json: bool) -> Audit:
    """Runs the server's audit to its end, showing how far it is."""
    total = _jobs(admin, queue)
    checked: dict[str, int] = {}
    findings = []
    with Progress("audited", json=json, total=total) as progress:
        for step in admin.audit(queue):
            if not step.queue:
                continue
            checked[step.queue] = max(step.checked, checked.get(step.queue, 0))
            findings += [(step.queue, finding) for finding in step.findings]
            progress.update(sum(checked.values()), queue=step.queue)
    return Audit(checked=checked, findings=findings)


def _jobs(admin: "Admin", queue: str) -> int:
    """The number of jobs to check; 0 when the queue is too damaged to count, which the audit then reports."""
    from relay_client.errors import WrongState

    try:
        queues = admin.stats(queue).queues
    except WrongState:
        return 0
    return sum(each.ready + each.delayed + each.inflight + each.dead + each.unreadable for each in queues)


def durability_word(info: "GetServerInfoResponse") -> str | None:
    """ "always", "everysec", "os" or "none"; None when the store does not tell."""
    return word(info.store, "durability")


def _topology(info: "GetServerInfoResponse") -> str:
    kind = word(info.store, "topology")
    if kind == "cluster":
        return f" in a cluster of {several(info.store.primaries, 'primary nodes')}"
    return " behind Sentinels" if kind == "sentinel" else ""


def _document(setup: Setup, result: Audit) -> dict[str, Any]:
    info = plain(setup.info)
    return {
        "event": "done",
        "clean": not (result.findings or setup.warnings),
        "server": {name: info[name] for name in ("version", "protocol_version", "server_id", "store")},
        "warnings": list(setup.warnings),
        "notes": list(setup.notes),
        "queues": [{"queue": name, "checked": number} for name, number in sorted(result.checked.items())],
        "findings": [{"queue": queue, **plain(finding)} for queue, finding in result.findings],
    }


def _show(server: str, setup: Setup, result: Audit) -> None:
    info = setup.info
    store = info.store
    kind = "embedded " if store.embedded else ""
    say(
        f"server      {server}, version {info.version}, protocol {info.protocol_version}, "
        f"{several(info.streams, 'streams')}"
    )
    say(
        f"store       {kind}{store.server} {store.version}{_topology(info)}, "
        f"durability {durability_word(info) or 'not known'}, "
        f"{size(store.used_memory_bytes)} used" + (f", format {store.format}" if store.format else "")
    )
    say(
        f"audit       {several(sum(result.checked.values()), 'jobs')} in {several(len(result.checked), 'queues')}"
    )
    for text in setup.notes:
        say(f"note        {text}")
    for text in setup.warnings:
        say(f"WARNING     {text}")
    if result.findings:
        rows = [(queue, each.invariant, each.job_id, each.detail) for queue, each in result.findings]
        print_table(("QUEUE", "RULE", "JOB", "WHAT IS WRONG"), rows)
        if any(each.invariant == UNREADABLE for _, each in result.findings):
            say(UNREADABLE_HELP)
    found = len(result.findings) + len(setup.warnings)
    say("nothing is wrong" if not found else f"wrong: {several(found, 'findings')}")
