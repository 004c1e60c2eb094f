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
_PART_MAX = 0.005
# Blocks from this size on are mapped one by one, and so are gone when they are freed. Left alone, glibc raises the
# size to that of the largest block that was freed, and keeps those of 4 MiB that large messages are.
_MAPPED_BYTES_MIN = 256 << 10
_M_MMAP_THRESHOLD = -3  # of <malloc.h>


def quiet_garbage_collector() -> None:
    """What start-up made lives as long as the process; a batch makes hundreds of objects and no cycles.

    gRPC makes one small cycle a call, which may hold the call's metadata: the youngest are looked at every 2 000 calls.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 100, 50)


class Remains:
    """Gives back what bursts leave: cycles that only a full collection finds, and free memory that malloc keeps."""

    def __init__(self, rss_bytes: Callable[[], int], give_back: Callable[[], float]) -> None:
        """`give_back` does it and says how long the loop stood for it, in seconds."""
        self._rss_bytes = rss_bytes
        self._give_back = give_back
        self._least = rss_bytes()
        self._not_before = 0.0

    async def run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            self.look(time.monotonic())

    def look(self, now_s: float) -> bool:
        """Gives back when memory has grown since the last time; True when it did."""
        before = self._rss_bytes()
        self._least = min(self._least, before)
        if before - self._least < GROWN_BYTES_MIN or now_s < self._not_before:
            return False
        took_s = self._give_back()
        self._not_before = now_s + took_s / _PART_MAX
        self._least = self._rss_bytes()
        _log.debug(
            "memory_given_back", before_bytes=before, after_bytes=self._least, seconds=round(took_s, 3)
        )
        return True


def rss_bytes() -> int:
    """Resident memory of this process, in bytes; 0 where it cannot be told."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    except (OSError, ValueError, IndexError):
        return 0


def give_back() -> float:
    """A full collection, and malloc's free memory back to the machine. Returns how long it took, in seconds."""
    started = time.perf_counter()
    gc.collect()
    if _malloc_trim is not None:
        _malloc_trim(0)
    return time.perf_counter() - started


def map_large_blocks() -> None:
    """Has malloc give large blocks back at once. To be called before there are any."""
    if _mallopt is not None:
        _mallopt(_M_MMAP_THRESHOLD, _MAPPED_BYTES_MIN)


def _of_libc(name: str) -> Callable[..., int] | None:
    """A function that only some C libraries have."""
    try:
        return getattr(ctypes.CDLL(None), name)  # type: ignore[no-any-return]
    except (OSError, AttributeError):
        return None


_malloc_trim = _of_libc("malloc_trim")
_mallopt = _of_libc("mallopt")
