"""What the demo shows while it runs: a live panel on a terminal, a line a second elsewhere, or JSON events."""

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from relay_cli.demo.load import Plan, Tally
from relay_cli.output import count, note, print_json, stderr

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

_LINE_EVERY_S: Final = 1.0
_RATE_OVER_S: Final = 2.0


class View:
    """Shows tallies while the context lasts. `heading` are lines that stay on top."""

    def __init__(self, plan: Plan, heading: list[str], *, json: bool) -> None:
        self._plan = plan
        self._heading = heading
        self._json = json
        self._live: Live | None = None
        self._lined_at = 0.0
        self._lined = Tally()
        self._seen: list[tuple[float, int]] = []

    def __enter__(self) -> Self:
        if not self._json and sys.stderr.isatty():
            from rich.live import Live

            self._live = Live(console=stderr(), auto_refresh=False)
            self._live.start()
        elif not self._json:
            for line in self._heading:
                note(line)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def update(self, tally: Tally) -> None:
        now = time.monotonic()
        self._seen = [(at, done) for at, done in self._seen if now - at <= _RATE_OVER_S]
        self._seen.append((now, tally.acked))
        if self._live is not None:
            self._live.update(self._panel(tally), refresh=True)
        elif now - self._lined_at >= _LINE_EVERY_S and tally != self._lined:
            self._lined_at, self._lined = now, tally
            self._line(tally)

    def say(self, text: str) -> None:
        """Prints a line that stays, above the live view."""
        if self._live is not None:
            self._live.console.print(text, markup=False)
        elif not self._json:
            note(text)

    def _rate(self) -> float:
        (first_at, first), (last_at, last) = self._seen[0], self._seen[-1]
        return (last - first) / (last_at - first_at) if last_at > first_at else 0.0

    def _line(self, tally: Tally) -> None:
        facts = _facts(tally)
        if self._json:
            print_json({"event": "progress", **facts})
        else:
            note("  ".join(f"{name} {number}" for name, number in facts.items()))

    def _panel(self, tally: Tally) -> "RenderableType":
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        grid = Table(box=None, pad_edge=False, header_style="bold")
        cells = {**_facts(tally), "jobs/s": round(self._rate())}
        for name in cells:
            grid.add_column(name, justify="right", min_width=9)
        grid.add_row(*(count(number) for number in cells.values()))
        bar = ProgressBar(total=self._plan.jobs, completed=tally.acked + tally.dead, width=60)
        return Group(*self._heading, "", bar, "", grid)


def _facts(tally: Tally) -> dict[str, int]:
    return {
        "enqueued": tally.enqueued,
        "ready": tally.ready,
        "delayed": tally.delayed,
        "inflight": tally.inflight,
        "done": tally.acked,
        "dead": tally.dead,
        "retried": tally.retried,
    }
