"""`relay top`: all queues, live, with rates between one snapshot and the next."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relay_cli.options import options_of
from relay_cli.output import age, count, plain, print_json, several, stdout, table

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp
    from rich.console import RenderableType

    from relay.v1.admin_service_pb2 import QueueStats, WatchStatsResponse
    from relay_client.admin import Admin

HELP = (
    "Watch all queues, or one, live: jobs by state, and jobs a second in, out and failed. Ctrl-C ends it. With "
    "--output json one snapshot is printed a second."
)
COLUMNS = (
    "QUEUE", ">READY", ">DELAYED", ">INFLIGHT", ">DEAD", ">OLDEST", ">IN/s", ">DONE/s", ">FAILED/s", "PAUSED",
)  # fmt: skip
# The line of the heading and that of the columns' titles.
_HEADING_LINES = 2
# A queue and how many are ready.
_COLUMNS_LEAST = 2
# Blanks between two columns.
_GAP = 2


@dataclass(frozen=True, slots=True)
class Rates:
    """Jobs a second between two snapshots: enqueued, acked, and failures of all kinds."""

    enqueued: float
    acked: float
    failed: float


def rates(before: "WatchStatsResponse | None", now: "WatchStatsResponse") -> Mapping[str, Rates]:
    """By queue; empty without two snapshots at different times. A queue that was made anew counts from zero."""
    seconds = _seconds(now.time) - _seconds(before.time) if before is not None else 0.0
    if before is None or seconds <= 0:
        return {}
    old = {each.queue: each for each in before.queues}
    return {each.queue: _rates(old.get(each.queue), each, seconds) for each in now.queues}


def _rates(before: "QueueStats | None", now: "QueueStats", seconds: float) -> Rates:
    def rate(*names: str) -> float:
        new: int = sum(getattr(now.counters, name) for name in names)
        old: int = sum(getattr(before.counters, name) for name in names) if before is not None else 0
        return max(new - old, 0) / seconds

    return Rates(enqueued=rate("enqueued"), acked=rate("acked"), failed=rate("retried", "expired", "dead"))


def _seconds(value: "Timestamp") -> float:
    return value.seconds + value.nanos / 1e9


def top(
    context: typer.Context,
    queue: Annotated[str, typer.Option(metavar="NAME", help="Only this queue. Default: all.")] = "",
    once: Annotated[
        bool, typer.Option("--once", help="Print one view, with rates over a second, and end.")
    ] = False,
) -> None:
    options = options_of(context)
    with options.admin() as admin, suppress(KeyboardInterrupt):  # the usual way out
        views = _views(admin, queue)
        if once:
            # The first view of all has no rates.
            views = islice(views, 1, 2)
        if options.json:
            for view in views:
                print_json(_document(*view))
        elif once or not sys.stdout.isatty():
            for view in views:
                stdout().print(_render(*view))
        else:
            _live(views, options.server)


View = tuple["WatchStatsResponse", Mapping[str, Rates]]


def _views(admin: "Admin", queue: str) -> Iterator[View]:
    """Goes on after a server went away and came back."""
    from relay_client.errors import Unavailable

    before: WatchStatsResponse | None = None
    while True:
        try:
            for now in admin.watch_stats(queue):
                yield now, rates(before, now)
                before = now
        except Unavailable:
            admin.stats(queue)  # returns when a server answers again, raises when none does in time
            if before is None:
                raise


def _live(views: Iterator[View], server: str) -> None:
    from rich.live import Live

    console = stdout()
    with Live(console=console, screen=True, auto_refresh=False) as live:
        for view in views:
            live.update(screen(view, server, *console.size), refresh=True)


def screen(view: View, server: str, width: int, height: int) -> "RenderableType":
    """A view on a terminal of this many columns and lines: as many columns and queues as it has room for."""
    from rich.console import Group
    from rich.text import Text

    now, speed = view
    when = now.time.ToDatetime().isoformat(sep=" ", timespec="seconds")
    heading = Text(f"relay top · {server} · {when} UTC · Ctrl-C ends", no_wrap=True, overflow="ellipsis")
    rows = [_row(each, speed.get(each.queue)) for each in now.queues]
    lines = height - _HEADING_LINES
    widths = [
        max(len(title.removeprefix(">")), *(len(str(row[at])) for row in rows)) if rows else len(title)
        for at, title in enumerate(COLUMNS)
    ]
    columns = max(n for n in range(len(COLUMNS) + 1) if sum(widths[:n]) + _GAP * (n - 1) <= width)
    if columns < _COLUMNS_LEAST or lines < 1:
        needed = sum(widths[:_COLUMNS_LEAST]) + _GAP
        return Text(f"too small: needs {needed} × {_HEADING_LINES + 1}, has {width} × {height}")
    visible = rows if len(rows) <= lines else rows[: max(lines - 1, 1)]
    left = len(rows) - len(visible)
    more = [Text(f"and {several(left, 'queues')} more", no_wrap=True)] if left and lines > 1 else []
    return Group(heading, table(COLUMNS[:columns], [row[:columns] for row in visible]), *more)


def _render(now: "WatchStatsResponse", speed: Mapping[str, Rates]) -> "RenderableType":
    return table(COLUMNS, [_row(each, speed.get(each.queue)) for each in now.queues])


def _row(each: "QueueStats", speed: Rates | None) -> tuple[object, ...]:
    oldest = age(each.oldest_ready_age.ToTimedelta()) if each.ready else ""
    flow = (
        ("", "", "")
        if speed is None
        else tuple(_rate(v) for v in (speed.enqueued, speed.acked, speed.failed))
    )
    numbers = (count(n) for n in (each.ready, each.delayed, each.inflight, each.dead))
    return (each.queue, *numbers, oldest, *flow, "paused" if each.paused else "")


def _rate(value: float) -> str:
    return count(value) if value >= 10 or not value else f"{value:.1f}"


def _document(now: "WatchStatsResponse", speed: Mapping[str, Rates]) -> dict[str, Any]:
    document = {name: value for name, value in plain(now).items() if name in {"queues", "time"}}
    for each in document["queues"]:
        found = speed.get(each["queue"])
        each["rates"] = (
            None
            if found is None
            else {"enqueued": found.enqueued, "acked": found.acked, "failed": found.failed}
        )
    return document
