"""Keeps the process small: decides when garbage is collected, and returns free memory to the system after a burst."""

import asyncio
import ctypes
import gc
import resource
import time
from collections.abc import Callable
from pathlib import Path

import structlog

_log = structlog.get_logger(__name__)

LOOK_EVERY_S = 5.0
# A full collection stops the event loop for about 0.1 s per million objects; less growth than this is not worth it.
GROWN_BYTES_MIN = 8 << 20
# The largest part of the time that collections may take, however fast memory grows.
COLLECTING_PART = 0.002
# malloc maps blocks of this size or more one by one, and unmaps them when they are freed. By default glibc raises this
# bound to the largest block that was freed, and then keeps freed blocks of large messages (4 MiB).
_MAPPED_BYTES_MIN = 256 << 10
# By default each of gRPC's threads gets an arena, up to eight a processor, and each arena keeps nearly empty pages.
_ARENAS_MAX = 4
_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8  # of <malloc.h>


def quiet_garbage_collector() -> None:
    """Collects less often: objects of the start live as long as the process, and batches make no cycles.

    gRPC makes one small cycle a call, which may hold the call's metadata: the youngest are looked at every 2 000 calls.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 100, 50)


def rss_bytes() -> int:
    """Resident memory of this process, in bytes; 0 where it cannot be told."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    except (OSError, ValueError, IndexError):
        return 0


def trim() -> None:
    """Returns malloc's free memory to the system, if the C library can."""
    if _malloc_trim is not None:
        _malloc_trim(0)


class Remains:
    """Gives back what bursts leave: cycles that only a full collection finds, and free memory that malloc keeps."""

    def __init__(
        self,
        *,
        rss_bytes: Callable[[], int] = rss_bytes,
        collect: Callable[[], object] = gc.collect,
        trim: Callable[[], None] = trim,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`collect` runs in the event loop and stops it meanwhile; `trim` runs in a thread."""
        self._rss_bytes = rss_bytes
        self._collect = collect
        self._trim = trim
        self._clock = clock
        self._least = self._collected_at = rss_bytes()
        self._not_before = 0.0

    async def run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            await self.look()

    async def look(self) -> None:
        """Collects when memory has grown since the last collection. Trims while memory is above its lowest size so far.

        How much could be trimmed is not known beforehand; a trim in vain costs a thread some milliseconds.
        """
        before = self._rss_bytes()
        self._least = min(self._least, before)
        self._collected_at = min(self._collected_at, before)
        if before - self._collected_at >= GROWN_BYTES_MIN and self._clock() >= self._not_before:
            started = self._clock()
            self._collect()
            ended = self._clock()
            self._not_before = ended + (ended - started) / COLLECTING_PART
            self._collected_at = self._rss_bytes()
        if before - self._least >= GROWN_BYTES_MIN:
            await asyncio.to_thread(self._trim)
            after = self._rss_bytes()
            self._collected_at = min(self._collected_at, after)
            _log.debug("memory_trimmed", before_bytes=before, after_bytes=after)


def tune_malloc() -> None:
    """Makes malloc return large blocks at once and use few arenas. Call it before any thread starts."""
    if _mallopt is not None:
        _mallopt(_M_MMAP_THRESHOLD, _MAPPED_BYTES_MIN)
        _mallopt(_M_ARENA_MAX, _ARENAS_MAX)


def _of_libc(name: str) -> Callable[..., int] | None:
    """A function that only some C libraries have."""
    try:
        return getattr(ctypes.CDLL(None), name)  # type: ignore[no-any-return]
    except (OSError, AttributeError):
        return None


_malloc_trim = _of_libc("malloc_trim")
_mallopt = _of_libc("mallopt")
