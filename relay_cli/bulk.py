"""The one way in which a command changes many jobs: a dry run with a sample, a question, then progress."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from relay_cli.errors import EXIT_INTERRUPTED, CliError, usage
from relay_cli.options import Options
from relay_cli.output import count, note, plain, print_json, say, several, stderr, table
from relay_cli.progress import Progress

if TYPE_CHECKING:
    from relay.v1.job_pb2 import JobSummary


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One answer of a bulk stream. `changed` is zero on a dry run."""

    examined: int
    matched: int
    changed: int
    total: int
    sample: "Sequence[JobSummary]" = ()


# Given True it only looks.
Stream = Callable[[bool], Iterator[Step]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bulk:
    """A bulk command: its words ("requeue", "requeued", "dead letters"), and the stream that does it.

    even_if_none  there is something to do although no job matches
    """

    verb: str
    done: str
    noun: str
    stream: Stream
    columns: Sequence[str]
    row: "Callable[[JobSummary], Sequence[object]]"
    even_if_none: bool = False


def steps(call: Callable[..., Iterable[Any]], changed: str) -> Stream:
    """A bulk call of the SDK, which takes `dry_run`; `changed` is the field of its answers that counts changed jobs."""

    def stream(dry: bool) -> Iterator[Step]:
        for answer in call(dry_run=dry):
            yield Step(
                examined=answer.examined,
                matched=answer.matched,
                changed=getattr(answer, changed),
                total=answer.total,
                sample=answer.sample,
            )

    return stream


def run(
    options: Options, bulk: Bulk, *, dry_run: bool, yes: bool, confirm: Callable[[str], bool] | None = None
) -> int:
    """Returns how many jobs were changed. CliError when the question was answered with no, or could not be asked."""
    preview = _last(options, f"counting {bulk.noun}", bulk.stream(True))
    _show_preview(options, bulk, preview)
    if dry_run or not (preview.matched or bulk.even_if_none):
        return 0
    if not yes:
        _ask(options, bulk, preview, confirm or _confirm)
    changed = 0
    try:
        with Progress(bulk.done, json=options.json) as progress:
            for step in bulk.stream(False):
                changed = step.changed
                progress.update(step.examined, step.total, changed=step.changed, matched=step.matched)
    except KeyboardInterrupt:
        raise CliError(
            f"stopped; {several(changed, bulk.noun)} {bulk.done} so far; the same command goes on",
            EXIT_INTERRUPTED,
        ) from None
    if options.json:
        print_json({"event": "done", bulk.done: changed})
    else:
        say(f"{bulk.done} {several(changed, bulk.noun)}")
    return changed


def _last(options: Options, title: str, steps: Iterable[Step]) -> Step:
    last = Step(examined=0, matched=0, changed=0, total=0)
    sample: Sequence[JobSummary] = ()
    with Progress(title, json=options.json) as progress:
        for step in steps:
            last, sample = step, step.sample or sample
            progress.update(step.examined, step.total, matched=step.matched)
    return Step(examined=last.examined, matched=last.matched, changed=0, total=last.total, sample=sample)


def _show_preview(options: Options, bulk: Bulk, preview: Step) -> None:
    if options.json:
        sample = [plain(job) for job in preview.sample]
        print_json(
            {"event": "preview", "matched": preview.matched, "examined": preview.examined, "sample": sample}
        )
        return
    if not preview.matched:
        say(f"nothing to {bulk.verb}: 0 of {several(preview.total, bulk.noun)} match")
        return
    say(f"{count(preview.matched)} of {several(preview.total, bulk.noun)} would be {bulk.done}")
    if preview.sample:
        stderr().print(table(bulk.columns, [bulk.row(job) for job in preview.sample]))
        if preview.matched > len(preview.sample):
            note(f"… and {count(preview.matched - len(preview.sample))} more")


def _ask(options: Options, bulk: Bulk, preview: Step, confirm: Callable[[str], bool]) -> None:
    if options.json or not sys.stdin.isatty():
        raise usage(
            f"would {bulk.verb} {several(preview.matched, bulk.noun)} and there is no terminal to ask on: "
            "add --yes to do it, or --dry-run to only look"
        )
    if not confirm(f"{bulk.verb} {several(preview.matched, bulk.noun)}?"):
        raise CliError("nothing was changed")


def _confirm(question: str) -> bool:
    return typer.confirm(question, err=True)
