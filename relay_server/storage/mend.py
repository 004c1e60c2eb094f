"""Changes the files of an embedded Redis that does not run: cuts padding before a start, and damage when asked to.

Nothing is thrown away: a copy of each cut piece is kept in the data folder first. The caller holds the folder's lock.
"""

import os
import shutil
from collections.abc import Set
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from relay_server.storage import aof


@dataclass(frozen=True, slots=True)
class Cut:
    """A file to cut at byte `at`, and how much is lost: `dropped_commands` is a guess where some cannot be read."""

    file: Path
    at: int
    dropped_bytes: int
    dropped_commands: int
    why: str


def cut_padding(redis_dir: Path, keep_in: Path) -> list[tuple[Cut, Path]]:
    """Cuts zeros off the newest incremental file, and says where each piece is kept. Raises StoreDamaged or OSError."""
    done = []
    _, files = aof.manifest_of(redis_dir / aof.FOLDER)
    for file in reversed(files):
        with aof.opened(file) as data:
            at = aof.padding_from(data)
            size = len(data)
            copy = (
                None if at is None else _keep(data[at : _content_end(data, at)], size - at, file, at, keep_in)
            )
        if at is not None and copy is not None:
            _truncate(file, at)
            done.append((Cut(file, at, size - at, 0, "zeros that the file system wrote"), copy))
        if (size if at is None else at) > 0:
            break  # older files are complete: Redis begins the next file only when the last one is on the disk
    return done


def plan_repair(redis_dir: Path, known: "Set[bytes] | None") -> list[Cut]:
    """The cuts after which Redis can read the store again: from the first fault on, in its file and in all later ones.

    `known` are the commands of the Redis that shall read it. Raises StoreDamaged where that cannot be, or OSError.
    """
    base, files = aof.manifest_of(redis_dir / aof.FOLDER)
    if base is not None and not aof.is_snapshot(base):
        files = [base, *files]
    cuts: list[Cut] = []
    for file in files:
        with aof.opened(file) as data:
            if cuts:
                # A command that runs without the commands before it could delete the wrong things.
                if len(data):
                    why = f"it continues {cuts[0].file.name}"
                    cuts.append(Cut(file, 0, len(data), aof.commands_in(data, 0), why))
                continue
            reading = aof.read(data, known)
            if not reading.fault or (reading.cut and file == files[-1]):
                continue  # Redis itself drops a cut command at the end
            at = reading.end if reading.open_at is None else reading.open_at
            cuts.append(Cut(file, at, len(data) - at, aof.commands_in(data, at), reading.fault))
    return cuts


def repair(redis_dir: Path, cuts: list[Cut], keep_in: Path) -> Path:
    """Carries out a plan. Returns the folder with a copy of the files as they were. OSError: nothing was changed."""
    copy = keep_in / f"before-repair-{_now()}"
    shutil.copytree(redis_dir / aof.FOLDER, copy)
    _sync_all(copy)
    for cut in reversed(cuts):  # last file first: whenever this stops, the store is as it once was
        _truncate(cut.file, cut.at)
    return copy


def _content_end(data: aof.Bytes, at: int) -> int:
    """Where the zeros at the end begin, at the earliest at byte `at`."""
    return max(at, aof.last_not_zero(data) + 1)


def _keep(content: bytes, length: int, file: Path, at: int, keep_in: Path) -> Path:
    """A copy of the piece of a file from byte `at` on; its zeros take no room on the disk."""
    copy = keep_in / f"cut-{_now()}-{file.name}-from-{at}"
    with open(copy, "xb", opener=lambda path, flags: os.open(path, flags, 0o600)) as stream:
        stream.write(content)
        stream.truncate(length)
        stream.flush()
        os.fsync(stream.fileno())
    _sync(keep_in)
    return copy


def _truncate(file: Path, at: int) -> None:
    with file.open("r+b") as stream:
        stream.truncate(at)
        os.fsync(stream.fileno())


def _sync_all(folder: Path) -> None:
    for path in (*folder.iterdir(), folder, folder.parent):
        _sync(path)


def _sync(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
