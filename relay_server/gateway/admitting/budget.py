"""Bounds the memory of HTTP requests and answers under way, of each caller and of all together."""

from collections.abc import Iterator
from contextlib import contextmanager

from relay_server import errors

# A smaller answer is not counted: its connection may hold as much anyway.
FREE_BYTES = 64 << 10
_RETRY_MS = 1000


class Share:
    """The bytes of one request or answer. `add` raises Overloaded when the budget has no room for more."""

    def __init__(self, budget: "Budget", caller: str) -> None:
        self._budget = budget
        self._caller = caller
        self.bytes = 0

    def add(self, size: int) -> None:
        self._budget.take(self._caller, size)
        self.bytes += size


class Budget:
    """One caller gets half of `bytes_max` at most, so that it leaves room for others."""

    def __init__(self, bytes_max: int) -> None:
        self._most = bytes_max
        self.held = 0
        self._of: dict[str, int] = {}

    @contextmanager
    def share(self, caller: str, size: int = 0) -> Iterator[Share]:
        """A share that ends with the block; `caller` is a principal or an address. Raises Overloaded."""
        share = Share(self, caller)
        try:
            if size > FREE_BYTES:
                share.add(size)
            yield share
        finally:
            self.held -= share.bytes
            if share.bytes and not self._add(caller, -share.bytes):
                del self._of[caller]

    def take(self, caller: str, size: int) -> None:
        if self.held + size > self._most or self._of.get(caller, 0) + size > self._most // 2:
            raise errors.Overloaded(
                "requests and answers that are on their way fill what this server holds of them "
                "(--http-held-bytes-max, half of it for one caller)",
                retry_after_ms=_RETRY_MS,
            )
        self.held += size
        self._add(caller, size)

    def _add(self, caller: str, size: int) -> int:
        now = self._of[caller] = self._of.get(caller, 0) + size
        return now
