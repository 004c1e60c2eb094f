"""Notices that files changed: certificates and tokens are renewed under the same names."""

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path

EVERY_S = 1.0

Stamp = tuple[tuple[int, ...] | None, ...]


async def watch(
    files: Iterable[Path], changed: Callable[[], None], known: Stamp, *, every_s: float = EVERY_S
) -> None:
    """Calls `changed` after any of the files did, for ever. By looking: renewals that swap a symbolic link, as
    Kubernetes does, tell nobody. `known` is their stamp before they were first read."""
    files = tuple(files)
    while True:
        await asyncio.sleep(every_s)
        now = stamp_of(files)
        if now != known:
            known = now
            changed()


def stamp_of(files: Iterable[Path]) -> Stamp:
    """What differs after a file was written or replaced, or got other permissions."""
    return tuple(_stamp(file) for file in files)


def _stamp(file: Path) -> tuple[int, ...] | None:
    try:
        found = file.stat()
    except OSError:
        return None  # between two renewals
    return found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_size
