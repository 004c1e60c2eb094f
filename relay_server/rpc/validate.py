"""Checks fields of requests before anything is done."""

import re
import time
import uuid
from typing import TypeVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from relay_server import limits
from relay_server.contract.violations import Violations

N = TypeVar("N", int, float)

_QUEUE_NAME = re.compile(limits.QUEUE_NAME_PATTERN)


class Checks(Violations):
    """The checks of one request. Each returns what the engine can take: the value, or one within the bounds."""

    def queue(self, name: str, field: str = "queue") -> str:
        if not _QUEUE_NAME.fullmatch(name) or name in {".", ".."}:
            self.add(field, f'must be 1 to 128 of A-Z a-z 0-9 . _ -, not "." or "..", not {_shown(name)}')
        return name

    def text(self, value: str, field: str, *, bytes_max: int, required: bool = False) -> str:
        size = len(value) if value.isascii() else len(value.encode("utf-8", "surrogatepass"))
        if required and not size:
            self.add(field, "is required")
        elif size > bytes_max:
            self.add(field, f"must be at most {bytes_max} bytes, has {size}")
            return ""
        return value

    def number(self, value: N, field: str, low: N, high: N) -> N:
        if low <= value <= high:
            return value
        self.add(field, f"must be {low:g} to {high:g}, is {value:g}")
        return high if value > high else low

    def job_id(self, value: str, field: str) -> bytes:
        """The 16 bytes of a UUID; zeros when it is not one."""
        try:
            raw = bytes.fromhex(value.replace("-", ""))
            if len(raw) == 16 and len(value) == 36:
                return raw
            return uuid.UUID(value).bytes
        except ValueError:
            self.add(field, f"must be a UUID, not {_shown(value)}")
            return bytes(16)

    def token(self, value: bytes, field: str) -> bytes:
        if len(value) != 16:
            self.add(field, f"must be the 16 bytes that came with the job, has {len(value)}")
        return value

    def duration(self, value: Duration, field: str, *, low_ms: int = 0, high_ms: int) -> int:
        """Milliseconds, rounded up so that a wait is never cut short."""
        seconds, nanos = value.seconds, value.nanos
        if abs(nanos) >= 10**9 or (seconds > 0 > nanos) or (seconds < 0 < nanos):
            self.add(field, "is not a valid duration: nanos must be under 1e9 and of the sign of seconds")
            return low_ms
        ms = seconds * 1000 + -(-nanos // 1_000_000)
        if not low_ms <= ms <= high_ms:
            self.add(
                field, f"must be {shown_ms(low_ms)} to {shown_ms(high_ms)}, is {seconds + nanos / 1e9:g} s"
            )
            return low_ms
        return ms

    def timestamp(self, value: Timestamp, field: str, *, ahead_ms: int | None = None) -> int:
        """Milliseconds since 1970, rounded up. `ahead_ms`: how far from now it may lie in the future."""
        if not 0 <= value.nanos < 10**9 or not 0 <= value.seconds < 253402300800:
            self.add(field, "is not a valid time: it must lie between 1970 and 9999, nanos under 1e9")
            return 0
        ms = value.seconds * 1000 + -(-value.nanos // 1_000_000)
        if ahead_ms is not None and ms > time.time_ns() // 1_000_000 + ahead_ms:
            self.add(field, f"must be within {shown_ms(ahead_ms)} from now")
        return ms


def shown_ms(ms: int) -> str:
    """A limit in the largest unit that fits it evenly."""
    for unit, size in (("d", limits.DAY_MS), ("h", 3_600_000), ("min", 60_000), ("s", 1000)):
        if ms and ms % size == 0:
            return f"{ms // size} {unit}"
    return f"{ms / 1000:g} s"


def _shown(value: str) -> str:
    return repr(value if len(value) <= 40 else value[:40] + "…")
