"""Durations as people write them: parses "5m", "1h30m", "250ms", seconds and timedelta, and prints them back."""

import math
import re
from datetime import timedelta
from typing import Final

from google.protobuf.duration_pb2 import Duration

DurationLike = timedelta | int | float | str

_UNIT_US: Final = {
    "us": 1,
    "ms": 1_000,
    "s": 1_000_000,
    "m": 60_000_000,
    "h": 3_600_000_000,
    "d": 86_400_000_000,
}
_PART = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s|m|h|d)")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_EXAMPLES: Final = 'write "250ms", "30s", "5m", "1h30m" or "2d", seconds as a number, or a timedelta'


def parse_duration(value: DurationLike, field: str = "duration") -> timedelta:
    """Turns what a person wrote into a timedelta, exact to the microsecond.

    Text is one or more numbers with a unit (us, ms, s, m, h, d), as in "1h30m"; a bare number is seconds.
    Negative and infinite values are refused with a ValueError that names `field`; other types with a TypeError.
    """
    if isinstance(value, timedelta):
        result = value
    elif isinstance(value, str):
        result = _parse_text(value, field)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        if not math.isfinite(value):
            raise ValueError(f"{field}: {value} is not a length of time; {_EXAMPLES}")
        result = _from_seconds(value, field)
    else:
        raise TypeError(f"{field}: {type(value).__name__} is not a length of time; {_EXAMPLES}")
    if result < timedelta(0):
        raise ValueError(f"{field}: {value!r} is negative; {_EXAMPLES}")
    return result


def _parse_text(text: str, field: str) -> timedelta:
    stripped = text.strip()
    if _NUMBER.fullmatch(stripped):
        return _from_seconds(float(stripped), field)
    micros, at = 0.0, 0
    for part in _PART.finditer(stripped):
        if part.start() != at:
            break
        micros += float(part[1]) * _UNIT_US[part[2]]
        at = part.end()
    if not stripped or at != len(stripped):
        raise ValueError(f"{field}: {text!r} is not a length of time; {_EXAMPLES}")
    return _from_seconds(micros / 1e6, field)


def _from_seconds(seconds: float, field: str) -> timedelta:
    try:
        return timedelta(seconds=seconds)
    except OverflowError:
        raise ValueError(f"{field}: {seconds:g} s is longer than a timedelta can hold") from None


def format_duration(value: timedelta) -> str:
    """The shortest text that `parse_duration` reads back as the same value: "1h30m", "250ms", "0s"."""
    left = value // timedelta(microseconds=1)
    if left < 0:
        return "-" + format_duration(-value)
    parts = []
    for unit, size in reversed(_UNIT_US.items()):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def to_proto(value: timedelta) -> Duration:
    """A google.protobuf.Duration of the same length."""
    message = Duration()
    message.FromTimedelta(value)
    return message
