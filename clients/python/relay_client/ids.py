"""Job and request ids: mints UUIDv7s that strictly rise within a process."""

import os
import secrets
import threading
import time

_TAIL_BITS = 74  # what UUIDv7 leaves beside time, version and variant
_TAIL_END = 1 << _TAIL_BITS
_STEP_BITS = 32
_LOW_BITS = 62
_LOW_MASK = (1 << _LOW_BITS) - 1
_VERSION = 0x7 << 76
_VARIANT = 0b10 << 62


class _Mint:
    """The last id given out: milliseconds and the 74 bits after them."""

    __slots__ = ("_lock", "_ms", "_tail")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ms = 0
        self._tail = 0

    def next(self) -> int:
        now = time.time_ns() // 1_000_000
        with self._lock:
            if now > self._ms:
                self._ms, self._tail = now, secrets.randbits(_TAIL_BITS - 1)
            else:
                # The same millisecond, or a clock set back: rise by a random step, so that ids stay hard to guess.
                self._tail += 1 + secrets.randbits(_STEP_BITS)
                if self._tail >= _TAIL_END:
                    self._ms, self._tail = self._ms + 1, secrets.randbits(_TAIL_BITS - 1)
            ms, tail = self._ms, self._tail
        high = tail >> _LOW_BITS
        return ms << 80 | _VERSION | high << 64 | _VARIANT | (tail & _LOW_MASK)


_mint = _Mint()


def _renew() -> None:
    # A child must not go on from its parent's tail, and the lock may have been held by a thread it does not have.
    global _mint
    _mint = _Mint()


os.register_at_fork(after_in_child=_renew)


def new_id() -> str:
    """A UUIDv7 greater than every one minted before in this process, from any thread.

    36 characters, lower case. Text order is age order.
    """
    text = f"{_mint.next():032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
