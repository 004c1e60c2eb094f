"""Gives memory that is no longer used back to the machine: the C library keeps what a burst took, for the next one."""

import asyncio
import ctypes
from collections.abc import Callable

_EVERY_S = 20.0


async def give_back() -> None:
    """Now and then, for ever, on a thread; returns at once where the C library cannot."""
    trim = _trim()
    while trim is not None:
        await asyncio.sleep(_EVERY_S)
        await asyncio.to_thread(trim, 0)


def _trim() -> Callable[[int], object] | None:
    """glibc's; other libraries have none."""
    try:
        trim: Callable[[int], object] = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return None
    return trim
