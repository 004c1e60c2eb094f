"""How long work shows that it goes on: a bar on a terminal, a line a second elsewhere, events with --output json."""

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from relay_cli.output import note, print_json, stderr

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

_LINE_EVERY_S = 1.0


class Progress:
    """Shows `done` of `total` while the context lasts; the total may become known, or change, later."""

    def __init__(self, title: str, *, json: bool, total: int | None = None) -> None:
        self._title = title
        self._json = json
        self._total = total
        self._printed_at = time.monotonic()
        self._bar: RichProgress | None = None

    def __enter__(self) -> Self:
        if not self._json and sys.stderr.isatty():
            self._bar = _make_bar()
            self._bar.add_task(self._title, total=self._total)
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, done: int, total: int | None = None, **facts: Any) -> None:
        """`facts` go into the JSON event only."""
        self._total = total if total is not None else self._total
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=done, total=self._total)
            return
        now = time.monotonic()
        if now - self._printed_at < _LINE_EVERY_S:
            return
        self._printed_at = now
        if self._json:
            print_json({"event": "progress", "done": done, "total": self._total, **facts})
        else:
            note(f"{self._title}: {done}" + (f" of {self._total}" if self._total is not None else ""))


def _make_bar() -> "RichProgress":
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as RichProgress

    return RichProgress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=stderr(),
        transient=True,
    )
