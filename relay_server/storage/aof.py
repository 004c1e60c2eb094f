"""Reads the append-only file (AOF) of an embedded Redis that Redis itself refuses, and finds how far it is whole.

Nothing here changes a file. The format: a manifest names one base file and then incremental ones, which are commands
in RESP, one after the other (https://redis.io/docs/latest/operate/oss_and_stack/management/persistence/).
"""

import mmap
import re
import shlex
from collections.abc import Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from relay_server.storage.errors import StoreDamaged

FOLDER, MANIFEST = "appendonlydir", "appendonly.aof.manifest"

Bytes: TypeAlias = "bytes | mmap.mmap"

_ARRAY, _BULK = re.compile(rb"\*(\d{1,9})\r\n"), re.compile(rb"\$(\d{1,9})\r\n")
_COMMAND = re.compile(rb"\*\d{1,9}\r\n\$\d{1,9}\r\n")
_BEGUN = re.compile(rb"(?:[*$]\d{0,9}\r?)?")  # the start of either mark, as a cut file may end with it
_LINE_BYTES_MAX = 1024  # bytes of a comment line, such as #TS:1700000000
_CHUNK_BYTES = 1 << 20
_DATA_FILE = re.compile(r"appendonly\.aof\.(\d+)\.(base|incr)\.(?:aof|rdb)")


@dataclass(frozen=True, slots=True)
class Reading:
    """How far a file is whole: `records` commands up to byte `end`. `fault`: what is wrong there; empty for nothing.

    `cut`: the file ends in the middle of a command, which Redis mends by itself in the last file. `open_at`: where a
    transaction (MULTI) begins whose EXEC is not before `end`; Redis would undo its commands.
    """

    records: int
    end: int
    fault: str = ""
    cut: bool = False
    open_at: int | None = None


class _Unreadable(Exception):
    def __init__(self, what: str, *, cut: bool = False) -> None:
        super().__init__(what)
        self.cut = cut


def manifest_of(folder: Path) -> "tuple[Path | None, list[Path]]":
    """The base file, if there is one, and the incremental files in their order; nothing in a folder without a store.

    Raises StoreDamaged or OSError.
    """
    path = folder / MANIFEST
    if not path.exists():
        if names := _orphans(folder):
            raise StoreDamaged(
                f"{folder} holds {', '.join(names)}, and {MANIFEST}, which says what they are, is not there: Redis "
                "would begin an empty store and write over them"
            )
        return None, []
    try:
        entries = [_entry(line) for line in path.read_text("utf-8").splitlines() if line[:1] != "#"]
    except (ValueError, KeyError):
        raise StoreDamaged(f"{path} is damaged: it does not name the files of the store") from None
    if not entries:
        raise StoreDamaged(f"{path} is damaged: it names no files")
    base = next((folder / name for kind, _, name in entries if kind == "b"), None)
    files = [folder / name for kind, _, name in sorted(entries) if kind == "i"]
    for file in (*((base,) if base is not None else ()), *files):
        if not file.is_file():
            raise StoreDamaged(f"{path} names {file.name}, which is not there")
    return base, files


def _entry(line: str) -> tuple[str, int, str]:
    """(kind, number, name). Kinds: b for a base file, i for an incremental one, h for one that is being deleted."""
    words = shlex.split(line)
    entry = dict(zip(words[::2], words[1::2], strict=True))
    kind, name = entry["type"], entry["file"]
    if kind not in ("b", "i", "h") or "/" in name:
        raise ValueError(line)
    return kind, int(entry["seq"]), name


def is_snapshot(base: Path) -> bool:
    """Whether the base file is a snapshot (RDB), which ends with a checksum; otherwise it holds commands."""
    with base.open("rb") as stream:
        return stream.read(1) not in (b"*", b"#", b"")


def _orphans(folder: Path) -> list[str]:
    """Files with data that no manifest names. A killed first start leaves files too, but without data."""
    found = []
    for file in sorted(folder.iterdir()) if folder.is_dir() else ():
        match = _DATA_FILE.fullmatch(file.name)
        if match and (int(match[1]) > 1 or (match[2] == "incr" and file.stat().st_size)):
            found.append(file.name)
    return found


@contextmanager
def opened(file: Path) -> Iterator[Bytes]:
    """The file's bytes, mapped and not read into memory as a whole."""
    with file.open("rb") as stream:
        if not file.stat().st_size:
            yield b""
            return
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            yield data


def read(data: Bytes, known: "Set[bytes] | None" = None) -> Reading:
    """Reads commands until one cannot be read. With `known`, names in lower case, any other command is a fault too."""
    at = records = 0
    open_at: int | None = None
    while at < len(data):
        try:
            if data[at : at + 1] == b"#":
                at = _after_remark(data, at)
                continue
            name, after = _record(data, at, len(data))
        except _Unreadable as error:
            return Reading(records, at, str(error), error.cut, open_at)
        if known is not None and name not in known:
            return Reading(records, at, f"the command {name[:40]!r} is not one of Redis", False, open_at)
        if name == b"multi":
            open_at = at
        elif name == b"exec":
            open_at = None
        at, records = after, records + 1
    if open_at is not None:
        return Reading(records, at, "it ends within a transaction", cut=True, open_at=open_at)
    return Reading(records, at)


def padding_from(data: Bytes) -> int | None:
    """Where zeros after the last whole command begin; None without such zeros.

    A power cut may leave a file that was made longer and not yet written: its end is zeros. A payload may end in zeros
    too, so zeros count only behind a whole command, or behind a command that was cut.
    """
    if not len(data) or data[-1] != 0:
        return None
    reading = read(data)
    if not reading.fault or reading.cut:
        return None
    zeros_at = last_not_zero(data) + 1
    if zeros_at > reading.end:
        try:
            _record(data, reading.end, zeros_at)
        except _Unreadable as error:
            return reading.end if error.cut else None
    return reading.end


def commands_in(data: Bytes, start: int) -> int:
    """A guess at how many commands begin at or after byte `start`. Payloads that look like commands count too."""
    return sum(1 for _ in _COMMAND.finditer(data, start))


def _after_remark(data: Bytes, at: int) -> int:
    end = data.find(b"\n", at, at + _LINE_BYTES_MAX)
    if end < 0:
        raise _Unreadable("a remark does not end", cut=len(data) - at < _LINE_BYTES_MAX)
    return end + 1


def _record(data: Bytes, at: int, size: int) -> tuple[bytes, int]:
    """The name of the command that begins at `at`, in lower case, and where the next one begins."""
    count, at = _header(_ARRAY, data, at, size)
    if not count:
        raise _Unreadable("a command has no words")
    name = b""
    for n in range(count):
        length, at = _header(_BULK, data, at, size)
        end = at + length
        if end + 2 > size:
            # A command may be cut within its end mark; the bytes that are there must be right.
            if not b"\r\n".startswith(data[min(end, size) : size]):
                raise _Unreadable("a word does not end where it should")
            raise _Unreadable("the file ends within a command", cut=True)
        if data[end : end + 2] != b"\r\n":
            raise _Unreadable("a word does not end where it should")
        if n == 0:
            name = data[at:end].lower()
        at = end + 2
    return name, at


def _header(pattern: "re.Pattern[bytes]", data: Bytes, at: int, size: int) -> tuple[int, int]:
    match = pattern.match(data, at, size)
    if match is None:
        cut = _BEGUN.fullmatch(data, at, size) is not None
        raise _Unreadable("the file ends within a command" if cut else "no command begins here", cut=cut)
    return int(match[1]), match.end()


def last_not_zero(data: Bytes) -> int:
    """-1 when all is zeros."""
    end = len(data)
    while end:
        start = max(0, end - _CHUNK_BYTES)
        rest = data[start:end].rstrip(b"\0")
        if rest:
            return start + len(rest) - 1
        end = start
    return -1
