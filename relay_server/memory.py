"""Gives memory that is no longer used back to the machine: the C library keeps what a burst took, for the next one."""

import asyncio
import ctypes
import os
from pathlib import Path
from typing import Any

_EVERY_S = 4.0
_WORTH_BYTES = 8 << 20
_STATM = Path("/proc/self/statm")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class _Mallinfo2(ctypes.Structure):
    """Of glibc: sizes in bytes, of which `uordblks` is what is in use."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


class _Glibc:
    """Gives back when that is worth it: for as long as it does, nobody else gets memory. Raises AttributeError where
    the C library is another, or an old one."""

    def __init__(self) -> None:
        library = ctypes.CDLL(None)
        self._trim: Any = library.malloc_trim
        self._info: Any = library.mallinfo2
        self._info.restype = _Mallinfo2
        self._most_used = 0
        self._resident = _resident_bytes()

    def give_back(self) -> None:
        used = self._info().uordblks
        self._most_used = max(self._most_used, used)
        # What came and went between two looks shows in what is resident alone.
        grown = _resident_bytes() - self._resident
        if max(self._most_used - used, grown) >= _WORTH_BYTES:
            self._trim(0)
            self._most_used, self._resident = used, _resident_bytes()


def _resident_bytes() -> int:
    return int(_STATM.read_text().split()[1]) * _PAGE_BYTES


async def give_back() -> None:
    """Now and then, for ever, on a thread; returns at once where the C library cannot."""
    try:
        library = _Glibc()
    except (AttributeError, OSError, TypeError):
        return
    while True:
        await asyncio.sleep(_EVERY_S)
        await asyncio.to_thread(library.give_back)
