"""The history of a queue: what came and went in each minute, from totals that are written down once a minute."""

from collections.abc import Mapping
from typing import cast

from relay_server.engine import Operations
from relay_server.engine.listings import Minute, history
from relay_server.engine.operations import HISTORY_MINUTES

MINUTE_MS = 60_000
NAMES = ("enqueued", "acked", "retried", "expired", "dead", "ready", "inflight")
Rows = Mapping[int, tuple[int, ...]]
DAY_MS = 24 * 60 * MINUTE_MS


class Stored:
    """Operations with these rows of totals: minute -> totals."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    async def history(self, queue: str) -> list[tuple[int, dict[str, int]]]:
        return [
            (minute, dict(zip(NAMES, totals, strict=True))) for minute, totals in sorted(self._rows.items())
        ]


async def minutes(rows: Rows, *, now: int, span_ms: int = DAY_MS) -> list[Minute]:
    return await history(cast(Operations, Stored(rows)), "q", now_ms=now * MINUTE_MS + 1, span_ms=span_ms)


def enqueued(shown: list[Minute]) -> list[tuple[int, int]]:
    return [(one.at_ms // MINUTE_MS, one.enqueued) for one in shown]


async def test_a_minute_is_the_difference_of_two_rows_and_the_first_one_counts_from_nothing() -> None:
    first, second = await minutes({100: (5, 1, 0, 0, 0, 4, 0), 101: (7, 4, 1, 2, 3, 2, 1)}, now=102)
    assert (first.enqueued, first.acked, first.failed, first.ready) == (5, 1, 0, 4)
    assert second == Minute(
        at_ms=101 * MINUTE_MS, enqueued=2, acked=3, failed=1 + 2 + 3, dead=3, ready=2, inflight=1
    )


async def test_minutes_without_a_row_are_quiet_when_nothing_changed_and_missing_otherwise() -> None:
    rows = {100: (5, 0, 0, 0, 0, 5, 0), 103: (5, 0, 0, 0, 0, 5, 0), 105: (6, 0, 0, 0, 0, 6, 0)}
    assert enqueued(await minutes(rows, now=106)) == [(100, 5), (101, 0), (102, 0), (103, 0), (105, 1)]


async def test_the_minutes_after_the_last_row_are_quiet_but_for_the_last_which_may_have_no_row_yet() -> None:
    rows = {100: (5, 0, 0, 0, 0, 5, 0)}
    assert enqueued(await minutes(rows, now=104)) == [(100, 5), (101, 0), (102, 0)]


async def test_a_shorter_span_counts_from_the_row_before_it() -> None:
    rows = {minute: (minute, 0, 0, 0, 0, 0, 0) for minute in range(100, 110)}
    assert enqueued(await minutes(rows, now=110, span_ms=3 * MINUTE_MS)) == [(107, 1), (108, 1), (109, 1)]


async def test_the_oldest_row_of_a_full_history_only_says_where_counting_starts() -> None:
    rows = {100 + n: (1000 + n, 0, 0, 0, 0, 0, 0) for n in range(HISTORY_MINUTES)}
    shown = enqueued(await minutes(rows, now=100 + HISTORY_MINUTES))
    assert shown == [(100 + n, 1) for n in range(1, HISTORY_MINUTES)]


async def test_a_total_that_starts_again_is_no_negative_number() -> None:
    rows = {100: (5, 0, 0, 0, 0, 5, 0), 101: (1, 0, 0, 0, 0, 1, 0)}
    assert enqueued(await minutes(rows, now=102)) == [(100, 5), (101, 0)]


async def test_a_queue_without_rows_has_no_minutes() -> None:
    assert await minutes({}, now=102) == []
