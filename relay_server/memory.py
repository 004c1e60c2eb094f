"""Keeps the process small: when it may look for garbage, and what a burst left is given back to the machine."""

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
# Less is not worth a pause of the loop, which a collection is: about 0.1 s for a million objects.
GROWN_BYTES_MIN = 8 << 20
# At most this part of the time goes into collections, however fast memory grows.
COLLECTING_PART = 0.002
# Blocks from this size on are mapped one by one, and so are gone when they are freed. Left alone, glibc raises the
# size to that of the largest block that was freed, and keeps those of 4 MiB that large messages are.
_MAPPED_BYTES_MIN = 256 << 10
# Each of gRPC's threads would have its own, up to eight a processor, and each keeps pages that hardly hold anything.
_ARENAS_MAX = 4
_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8  # of <malloc.h>


def quiet_garbage_collector() -> None:
    """What start-up made lives as long as the process; a batch makes hundreds of objects and no cycles.

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
    """Gives malloc's free memory back to the machine, where the C library can."""
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
        """`collect` holds up the loop while it runs; `trim` is called in a thread of its own."""
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
        """Collects when memory has grown since the last time. Trims as long as there is more than there was at the
        least: memory that is freed shows nowhere, and to ask again costs a few milliseconds of a thread.
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
    """Has malloc give large blocks back at once, and keep few arenas. To be called before there are any."""
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
