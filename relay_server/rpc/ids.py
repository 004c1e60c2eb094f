"""Ids of jobs: as text, and minted for producers that send none."""

import hashlib
import os
import time


def uuid_text(raw: bytes) -> str:
    """The canonical text of a UUID's 16 bytes."""
    h = raw.hex()
    return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"


class _Minter:
    """Mints UUIDv7s that rise, also within a millisecond: jobs ready at the same time run in the order of their ids."""

    def __init__(self) -> None:
        self._last = 0  # ms in the high bits, 12 bits of a counter that starts anew with each ms

    def __call__(self) -> bytes:
        """A UUIDv7 for a job whose producer sent none."""
        self._last = max(self._last + 1, time.time_ns() // 1_000_000 << 12)
        ms, number = divmod(self._last, 1 << 12)
        raw = bytearray(ms.to_bytes(6, "big") + (0x7000 | number).to_bytes(2, "big") + os.urandom(8))
        raw[8] = 0x80 | raw[8] & 0x3F
        return bytes(raw)


mint_id = _Minter()


def derived_id(queue: str, request_id: str, number: int) -> str:
    """The id of a job of a named batch whose producer sent none: the same for a repeat, and rising in the batch."""
    digest = hashlib.blake2b(f"{queue}\0{request_id}".encode(), digest_size=14).digest()
    raw = bytearray(digest[:6] + (0x8000 | number).to_bytes(2, "big") + digest[6:])
    raw[8] = 0x80 | raw[8] & 0x3F
    return uuid_text(bytes(raw))
