"""How results are printed: messages as JSON lines, rows as tables, and text from elsewhere made harmless."""

import codecs
import io
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from google.protobuf.duration_pb2 import Duration
    from google.protobuf.message import Message
    from google.protobuf.timestamp_pb2 import Timestamp
    from rich.console import Console
    from rich.table import Table

# A pipe has no width: a row is never cut for it.
_PIPE_WIDTH = 1000
_AGE_UNITS = ((86400, "d"), (3600, "h"), (60, "m"))


def write_any_text() -> None:
    """Has characters of names and payloads escaped that the terminal's encoding lacks, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


@cache
def stdout() -> "Console":
    """Where results go. Colours only on a terminal and without NO_COLOR."""
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else _PIPE_WIDTH)


@cache
def stderr() -> "Console":
    """Where progress, questions and errors go."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, width=None if sys.stderr.isatty() else _PIPE_WIDTH)


def print_json(value: Any) -> None:
    """One JSON value on one line of stdout."""
    # Escaped by JSON's rules where the terminal lacks letters, or it would be JSON no longer.
    ascii_only = codecs.lookup(sys.stdout.encoding).name != "utf-8"
    sys.stdout.write(json.dumps(value, ensure_ascii=ascii_only) + "\n")
    sys.stdout.flush()


def say(text: str) -> None:
    """A line for people on stdout."""
    sys.stdout.write(clean(text) + "\n")
    sys.stdout.flush()


def note(text: str) -> None:
    """A line for people on stderr."""
    sys.stderr.write(clean(text) + "\n")
    sys.stderr.flush()


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> "Table":
    """A table; a column whose title starts with ">" is aligned right."""
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, pad_edge=False, header_style="bold")
    for title in columns:
        keep = title in {"ID", "QUEUE", "JOB"} or title.startswith(">")
        made.add_column(
            title.removeprefix(">"),
            justify="right" if title.startswith(">") else "left",
            no_wrap=True,
            overflow="fold" if keep else "ellipsis",
            min_width=36 if title == "ID" else None,
        )
    for row in rows:
        made.add_row(*(Text(clean(str(cell))) for cell in row))
    return made


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    console = stdout()
    with console.capture() as captured:
        console.print(table(columns, rows))
    for line in captured.get().splitlines():
        sys.stdout.write(line.rstrip() + "\n")
    sys.stdout.flush()


def clean(text: str) -> str:
    """Payloads and error texts come from elsewhere: no control character of theirs reaches the terminal."""
    return "".join(
        char if char.isprintable() or char in "\n\t" else char.encode("unicode_escape").decode()
        for char in text
    )


def one_line(text: str) -> str:
    return " ".join(text.split())


# --- messages of the contract


def plain(message: "Message") -> dict[str, Any]:
    """A message as JSON values: every field, in the words of the contract.

    Numbers are numbers; times are RFC 3339 in UTC; lengths of time are seconds under a name that ends in "_s"; enums
    are lower-case words; bytes are text when they are UTF-8, else base64 under a name that ends in "_base64"; what is
    not set is null.
    """
    result: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if field.has_presence and not message.HasField(field.name):
            value = None
        kind = field.message_type.full_name if field.message_type is not None else ""
        if field.enum_type is not None:
            value = word(message, field.name)
        result.update(_entry(field.name, kind, value))
    return result


def _entry(name: str, kind: str, value: Any) -> dict[str, Any]:
    from google.protobuf.message import Message

    if kind == "google.protobuf.Duration":
        return {f"{name}_s": None if value is None else seconds(value)}
    if isinstance(value, bytes):
        return _bytes_entry(name, value)
    if value is None or isinstance(value, str | int | float):
        return {name: value}
    if kind == "google.protobuf.Timestamp":
        return {name: when(value).isoformat(timespec="milliseconds").replace("+00:00", "Z")}
    if isinstance(value, Message):
        return {name: plain(value)}
    if isinstance(value, Mapping):
        return {name: dict(value)}
    return {name: [plain(each) if isinstance(each, Message) else each for each in value]}


def _bytes_entry(name: str, value: bytes) -> dict[str, Any]:
    import base64

    try:
        return {name: value.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(value).decode()}


def word(message: "Message", field: str) -> str | None:
    """An enum field as people read it: JOB_STATE_READY as "ready"; None when unset, the number when it is not known."""
    enum, number = message.DESCRIPTOR.fields_by_name[field].enum_type, getattr(message, field)
    assert enum is not None
    value = enum.values_by_number.get(number)
    if value is None:
        return str(number)
    head = enum.values_by_number[0].name.removesuffix("UNSPECIFIED")
    return value.name.removeprefix(head).lower() if number else None


def when(value: "Timestamp") -> datetime:
    return value.ToDatetime(tzinfo=UTC)


def seconds(value: "Duration") -> float:
    return value.seconds + value.nanos / 1e9


def ago(value: "Timestamp") -> str:
    """ "12s ago" or "in 5m", by this machine's clock; empty when it is not set."""
    if not value.seconds:
        return ""
    delta = datetime.now(UTC) - when(value)
    return f"in {age(-delta)}" if delta < timedelta(0) else f"{age(delta)} ago"


def age(value: timedelta) -> str:
    """A length of time with two units at most: "850ms", "12s", "3m20s", "2d4h"."""
    total = value.total_seconds()
    if total < 10:
        return f"{total * 1000:.0f}ms" if total < 1 else f"{total:.1f}s"
    left = round(total)
    for at, (size, unit) in enumerate(_AGE_UNITS):
        if left >= size:
            small, small_unit = _AGE_UNITS[at + 1] if at + 1 < len(_AGE_UNITS) else (1, "s")
            rest = left % size // small
            return f"{left // size}{unit}" + (f"{rest}{small_unit}" if rest else "")
    return f"{left}s"


def count(value: float) -> str:
    """A number with thin separators for people: 12 345."""
    return f"{value:,.0f}".replace(",", " ")


def several(number: int, noun: str) -> str:
    """The number with its noun: "1 job" or "1 200 jobs"; `noun` is the plural."""
    return f"{count(number)} {noun if number != 1 else noun.removesuffix('s')}"


def size(value: float) -> str:
    """Bytes in the largest unit that keeps one digit before the point."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def payload_text(data: bytes, total: int | None = None) -> str:
    """A payload for a table cell; a payload that is not text is shown as its size."""
    try:
        text = one_line(data.decode())
    except UnicodeDecodeError as error:
        if len(data) - error.start > 3 or (total is not None and total == len(data)):
            return f"({size(total if total is not None else len(data))} of bytes)"
        text = one_line(data[: error.start].decode())
    return text + ("…" if total is not None and total > len(data) else "")
