"""`relay enqueue`: turns arguments, files and lines of stdin into jobs."""

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relay_cli.errors import CliError, explain, usage
from relay_cli.options import Options, options_of
from relay_cli.output import count, note, print_json, say, several
from relay_cli.progress import Progress
from relay_cli.queues import QueueArgument

if TYPE_CHECKING:
    from relay_client import Enqueued, JobSpec, RelayError

HELP = (
    "Add one job to a queue, or many. PAYLOAD is JSON; - reads it from stdin, @FILE from a file. With --ndjson every "
    "line of stdin is a job: with TYPE its payload, without TYPE an object with type, payload, delay, priority, "
    "idempotency_key, headers and so on."
)
# Refused jobs are named one by one up to here.
_NAMED_MAX = 10


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    spec: "JobSpec"


def enqueue(
    context: typer.Context,
    queue: QueueArgument,
    type_: Annotated[
        str | None, typer.Argument(metavar="TYPE", help="What the job is.", show_default=False)
    ] = None,
    payload: Annotated[
        str | None,
        typer.Argument(
            metavar="PAYLOAD", help="Its arguments: JSON, - or @FILE. Default: null.", show_default=False
        ),
    ] = None,
    delay: Annotated[
        str | None, typer.Option(metavar="DURATION", help='How long to wait, as in "5m".', show_default=False)
    ] = None,
    run_at: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="When to start, as in 2030-01-31T08:00:00Z.", show_default=False),
    ] = None,
    priority: Annotated[int, typer.Option(metavar="N", help="-9 to 9, higher first.")] = 0,
    key: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT", help="Idempotency key: a second job with it is not made.", show_default=False
        ),
    ] = None,
    key_window: Annotated[
        str | None,
        typer.Option(metavar="DURATION", help="How long the key is held. Default: 24h.", show_default=False),
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="Application metadata, such as traceparent. Repeatable.",
            show_default=False,
        ),
    ] = None,
    max_attempts: Annotated[
        int | None,
        typer.Option(metavar="N", help="Attempts in all, 1 to 1000. Default: 20.", show_default=False),
    ] = None,
    backoff: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION", help="Longest wait after the first failure. Default: 1s.", show_default=False
        ),
    ] = None,
    max_runtime: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION", help="Longest time of one attempt. Default: none.", show_default=False
        ),
    ] = None,
    expires_at: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="A job still waiting then becomes a dead letter.", show_default=False
        ),
    ] = None,
    content_type: Annotated[
        str | None,
        typer.Option(
            metavar="TYPE",
            help="Media type of a payload that is not JSON, as in text/plain.",
            show_default=False,
        ),
    ] = None,
    job_id: Annotated[
        str | None,
        typer.Option("--id", metavar="UUID", help="Id of the job. Default: minted.", show_default=False),
    ] = None,
    many: Annotated[int, typer.Option("--count", min=1, metavar="N", help="The same job so many times.")] = 1,
    ndjson: Annotated[bool, typer.Option("--ndjson", help="One job for every line of stdin.")] = False,
) -> None:
    from relay_client import JobSpec, RetryPolicy

    options = options_of(context)
    if type_ is None and not ndjson:
        raise usage(
            'TYPE: say what the job is, as in `relay enqueue emails welcome \'{"to": "a@example.com"}\'`'
        )
    if (many > 1 or ndjson) and job_id is not None:
        raise usage("--id: names one job; leave it out with --count or --ndjson")
    if many > 1 and key is not None:
        raise usage("--key: with --count only one job would be made; leave one of them out")
    retry = RetryPolicy(max_attempts=max_attempts, initial_backoff=backoff)
    base = JobSpec(
        type=type_ or "",
        delay=delay,
        run_at=_time("--run-at", run_at),
        priority=priority,
        idempotency_key=key,
        idempotency_window=key_window,
        headers=_headers(header or []),
        retry=retry if max_attempts is not None or backoff is not None else None,
        max_runtime=max_runtime,
        expires_at=_time("--expires-at", expires_at),
        content_type=content_type,
        job_id=job_id,
    )
    if ndjson:
        if payload is not None or many > 1:
            raise usage("--ndjson: the payloads come from stdin; leave out PAYLOAD and --count")
        _enqueue_many(options, queue, _lines(sys.stdin, base), total=None)
        return
    spec = _with_payload(base, payload)
    if many > 1:
        _enqueue_many(options, queue, (_Line(n, spec) for n in range(1, many + 1)), total=many)
    else:
        _enqueue_one(options, queue, spec)


def _enqueue_one(options: Options, queue: str, spec: "JobSpec") -> None:
    _check(spec)
    with options.client() as client:
        (result,) = client.enqueue_batch(queue, [spec])
    if isinstance(result, Exception):
        raise explain(result, options.server) from result
    if options.json:
        print_json({"queue": queue, "id": result.id, "deduplicated": result.deduplicated})
    elif result.deduplicated:
        note("the key is taken: nothing was added; this is the job that holds it")
        say(result.id)
    else:
        say(result.id)


def _check(spec: "JobSpec") -> None:
    """Refuses a job that cannot be sent, before a server is looked for."""
    from relay_client.jobs import to_wire

    try:
        to_wire(spec)
    except (TypeError, ValueError) as error:
        raise usage(str(error)) from error


def _enqueue_many(options: Options, queue: str, lines: Iterable[_Line], total: int | None) -> None:
    from relay_client import JobSpec

    numbers: list[int] = []

    def specs() -> Iterator[JobSpec]:
        for line in lines:
            numbers.append(line.number)
            yield line.spec

    broken: CliError | None = None

    def until_broken() -> Iterator[JobSpec]:
        # A bad line must not hide the results of the jobs before it.
        nonlocal broken
        try:
            yield from specs()
        except CliError as error:
            broken = error

    with options.client() as client, Progress("enqueued", json=options.json, total=total) as progress:
        results = client.enqueue_batch(queue, until_broken(), progress=progress.update)
    _report(options, queue, numbers, results)
    if broken is not None:
        raise broken
    refused = [result for result in results if isinstance(result, Exception)]
    if refused:
        first = explain(refused[0], options.server)
        raise CliError(
            f"{count(len(refused))} of {several(len(results), 'jobs')} refused: {first}", first.code
        )


def _report(options: Options, queue: str, numbers: list[int], results: "list[Enqueued | RelayError]") -> None:
    added = deduplicated = refused = 0
    for number, result in zip(numbers, results, strict=True):
        if isinstance(result, Exception):
            refused += 1
            if options.json:
                print_json(
                    {"event": "refused", "line": number, "reason": result.reason, "message": str(result)}
                )
            elif refused <= _NAMED_MAX:
                note(f"job {number} was refused: {result}")
        elif result.deduplicated:
            deduplicated += 1
        else:
            added += 1
    if options.json:
        print_json(
            {
                "event": "done",
                "queue": queue,
                "added": added,
                "deduplicated": deduplicated,
                "refused": refused,
            }
        )
    else:
        taken = f", {count(deduplicated)} keys were taken" if deduplicated else ""
        say(f"added {several(added, 'jobs')} to {queue}{taken}")


def _lines(source: Iterable[str], base: "JobSpec") -> Iterator[_Line]:
    for number, line in enumerate(source, 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except ValueError as error:
            raise usage(
                f"line {number} of stdin is not JSON: {error}; the jobs before it were added"
            ) from error
        yield _Line(number, replace(base, payload=value) if base.type else _from_object(number, value, base))


def _from_object(number: int, value: Any, base: "JobSpec") -> "JobSpec":
    from relay_client import RetryPolicy

    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        raise usage(
            f'line {number} of stdin: without TYPE every line is an object with "type"; the jobs before it were added'
        )
    try:
        if isinstance(value.get("retry"), dict):
            value["retry"] = RetryPolicy(**value["retry"])
        for name in ("run_at", "expires_at"):
            if name in value:
                value[name] = _time(name, value[name])
        return replace(base, **value)
    except TypeError as error:
        raise usage(f"line {number} of stdin: {error}; the jobs before it were added") from error


def _with_payload(base: "JobSpec", text: str | None) -> "JobSpec":
    """The payload goes out byte for byte: JSON is checked, not rewritten."""
    if text is None:
        return base
    data = _read(text)
    if base.content_type is not None and "json" not in base.content_type:
        return replace(base, payload=data)
    try:
        json.loads(data, parse_constant=_no_constant)
    except ValueError as error:
        raise usage(
            f"PAYLOAD is not JSON ({error}); quote it for the shell, or say what it is with --content-type text/plain"
        ) from error
    return replace(base, payload=data, content_type=base.content_type or "application/json")


def _no_constant(name: str) -> None:
    """Python reads and writes these; no other language does."""
    raise ValueError(f"{name} is no value of JSON")


def _read(text: str) -> bytes:
    if text == "-":
        return sys.stdin.buffer.read()
    if text.startswith("@"):
        try:
            return Path(text[1:]).read_bytes()
        except OSError as error:
            raise usage(f"PAYLOAD: cannot read {text[1:]}: {error.strerror}") from error
    return text.encode("utf-8", "surrogateescape")


def _headers(pairs: list[str]) -> dict[str, str]:
    made: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise usage(f"--header: {pair!r} is not NAME=VALUE")
        made[name] = value
    return made


def _time(option: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        value = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        raise usage(f"{option}: {text!r} is not a time; write it as 2030-01-31T08:00:00Z") from None
    # Without a zone a person means the clock on the wall.
    return value if value.tzinfo is not None else value.astimezone()
