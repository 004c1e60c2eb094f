"""Judges the record: each check returns what is wrong, or nothing."""

from collections.abc import Callable, Mapping
from itertools import pairwise
from statistics import median
from uuid import UUID

from relay_conformance.record import Record, Seen, matches
from relay_conformance.scenario import Compare, Count, Gaps, Kind, Limit, Reports
from relay_conformance.world import World

Marks = Mapping[str, int]
# Calls of one client may overtake each other by so much on their way here.
_OVERTAKING_S = 0.25


def kinds(saw: Kind | list[Kind]) -> list[Kind]:
    """The kinds a step asks for."""
    return [saw] if isinstance(saw, str) else saw


def check(step: Compare | Count | Gaps | Limit | Reports, record: Record, marks: Marks) -> str:
    """What the step asks for, of what was seen until now."""
    match step:
        case Limit():
            return _limit(step, record)
        case Reports():
            return _reports(step, record)
    seen = record.find(kinds(step.saw), step.where, marks.get(step.since or "", 0))
    match step:
        case Count():
            wrong = not step.least <= len(seen) <= step.most
            return f"seen {len(seen)} times, not {step.least} to {step.most}" if wrong else ""
        case Compare():
            return _compare(step, seen)
        case Gaps():
            return _gaps(step, seen)


def _compare(step: Compare, seen: list[Seen]) -> str:
    values = [one.get(step.field) for one in seen]
    if len(values) < step.least:
        return f"seen {len(values)} times, at least {step.least} were to be"
    rules: dict[str, Callable[[], bool]] = {
        "same": lambda: all(value == values[0] for value in values),
        "distinct": lambda: len({str(value) for value in values}) == len(values),
        "rising": lambda: all(a < b for a, b in pairwise(values)),
        "uuid7": lambda: all(_is_uuid7(str(value)) for value in values),
    }
    return "" if rules[step.rule]() else f"{step.field} is not {step.rule}: {values[:8]}"


def _is_uuid7(text: str) -> bool:
    try:
        return UUID(text).version == 7 and str(UUID(text)) == text
    except ValueError:
        return False


def _gaps(step: Gaps, seen: list[Seen]) -> str:
    gaps = [(b.at - a.at) * 1000 for a, b in pairwise(seen) if matches(a, step.begin)]
    lengths = ", ".join(f"{gap:.0f}" for gap in gaps[:20])
    if len(gaps) < step.least:
        return f"{len(gaps)} gaps, at least {step.least} were to be"
    if min(gaps) < step.min_ms or max(gaps) > step.max_ms:
        return f"gaps of {lengths} ms; each was to be {step.min_ms} to {step.max_ms} ms"
    if step.spread_ms and median(gaps) - min(gaps) < step.spread_ms:
        return f"gaps of {lengths} ms; with jitter half of them were {step.spread_ms} ms above the shortest"
    return ""


def _limit(step: Limit, record: Record) -> str:
    begin, ends = {
        "running": ("job_started", {"job_finished"}),
        "unsettled": ("delivery", {"ack", "nack"}),
    }[step.what]
    now = most = 0
    for one in record.seen:
        now += (one.kind == begin) - (one.kind in ends)
        most = max(most, now)
    return f"{most} {step.what} at once, not {step.most} at most" if most > step.most else ""


def _reports(step: Reports, record: Record) -> str:
    reports = record.find(["report"], {})
    if len(reports) < step.least:
        return f"{len(reports)} WindowReports, at least {step.least} were to be"
    settled = 0
    # In the order in which the client made them: calls may overtake each other.
    for one in sorted(reports, key=lambda report: int(report.get("seq"))):
        settled += int(one.get("settles"))
        received, in_flight = int(one.get("received")), int(one.get("in_flight"))
        if received > int(one.get("sent")):
            return f"{one}: received more than was sent"
        if in_flight != received - settled:
            return f"{one}: in_flight is not received - settled = {received} - {settled}"
    return ""


def always(world: World) -> list[str]:
    """Rules that hold in every scenario."""
    wrong = list(world.violations)
    for session_id in world.sessions:
        reports = world.record.find(["report"], {"session": session_id})
        seqs = [int(one.get("seq")) for one in reports]
        if len(set(seqs)) != len(seqs):
            wrong.append("two WindowReports with the same seq")
        for at, one in enumerate(reports):
            before = [int(r.get("seq")) for r in reports[:at] if one.at - r.at > _OVERTAKING_S]
            if before and seqs[at] <= max(before):
                wrong.append(f"seq of WindowReport does not rise: {seqs[at]} after {max(before)}")
                break
    return wrong
