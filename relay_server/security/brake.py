"""Counts what went wrong lately, by the address it came from, so that nobody fills a log."""

import time
from collections import deque

_ADDRESSES_MAX = 10_000
_WINDOW_S = 60.0


class Brake:
    """At most `per_minute` from one address within a minute; what is more has to wait."""

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        self._counted: dict[str, deque[float]] = {}

    def wait_s(self, address: str) -> int:
        """Counts one more and returns 0, or leaves it and returns how many seconds to wait."""
        if address not in self._counted and len(self._counted) >= _ADDRESSES_MAX:
            self._counted.pop(next(iter(self._counted)))
        counted, now = self._counted.setdefault(address, deque()), time.monotonic()
        while counted and now - counted[0] >= _WINDOW_S:
            counted.popleft()
        if len(counted) < self.per_minute:
            counted.append(now)
            return 0
        return int(_WINDOW_S - (now - counted[0])) + 1
