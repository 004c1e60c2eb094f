"""Follows files that are replaced under the same names, such as certificates and tokens, and reads each change.

A change that cannot be read may be a revocation. So it is never skipped: it is tried again every second, counted and
logged, and after a while the server says that it is stale.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

import structlog

EVERY_S = 1.0
_SAY_AGAIN_S = 60.0

Stamp = tuple[tuple[int, ...] | None, ...]

_log = structlog.get_logger(__name__)


class Follower:
    """Calls `take`, which reads the files of a kind (`certificate`, `tokens_file`), after each change of theirs.

    `take` raises when the new files cannot be used; the old contents then stay in use. `known` is the files' stamp from
    before they were first read.
    """

    def __init__(
        self,
        kind: str,
        files: Iterable[Path],
        take: Callable[[], Awaitable[None] | None],
        known: Stamp,
        *,
        failed: Callable[[str], None] = lambda _kind: None,
        apart_s: float = 0.0,
    ) -> None:
        """`failed` is called with the kind at each failed attempt; two successes are at least `apart_s` apart."""
        self.kind = kind
        self._files = tuple(files)
        self._take = take
        self._known = known
        self._failed = failed
        self._apart_s = apart_s
        self._not_before = 0.0
        self._failing_since: float | None = None
        self._said = ("", 0.0)

    @property
    def failing_s(self) -> float:
        """Seconds since the oldest change that could not be read; 0.0 without one."""
        return time.monotonic() - self._failing_since if self._failing_since is not None else 0.0

    async def run(self, every_s: float = EVERY_S) -> None:
        """Looks for ever. It polls, because a swapped symbolic link, as Kubernetes renews files, raises no event."""
        while True:
            await asyncio.sleep(every_s)
            await self.look()

    async def look(self) -> None:
        """Reads the files if they changed since they were last read."""
        now = stamp_of(self._files)  # before reading: a change during the read counts as new
        if now == self._known:
            self._is_read()
            return
        if time.monotonic() < self._not_before:
            return
        try:
            reading = self._take()
            if reading is not None:
                await reading
        except Exception as error:  # noqa: BLE001 - whatever it was, the change must not be forgotten
            self._is_not_read(str(error) or repr(error))
        else:
            self._known = now
            self._not_before = time.monotonic() + self._apart_s
            self._is_read()
            _log.info(f"{self.kind}_reloaded")

    def _is_read(self) -> None:
        """The files are in use as they are, maybe because a bad change was undone."""
        if self._failing_since is not None:
            _log.info(f"{self.kind}_is_current", seconds_stale=round(self.failing_s, 1))
        self._failing_since, self._said = None, ("", 0.0)

    def _is_not_read(self, error: str) -> None:
        now = time.monotonic()
        if self._failing_since is None:
            self._failing_since = now
        self._failed(self.kind)
        said, at = self._said
        if error != said or now - at >= _SAY_AGAIN_S:
            self._said = error, now
            _log.error(
                f"{self.kind}_refused",
                error=error,
                seconds_stale=round(self.failing_s, 1),
                consequence="the old one stays in use; it is read again every second",
            )


def stamp_of(files: Iterable[Path]) -> Stamp:
    """A value that changes when a file is written, replaced, or gets other permissions."""
    return tuple(_stamp(file) for file in files)


def _stamp(file: Path) -> tuple[int, ...] | None:
    try:
        found = file.stat()
    except OSError:
        return None  # missing for a moment, in the middle of a renewal
    return found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_size
