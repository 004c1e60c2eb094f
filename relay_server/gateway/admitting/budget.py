"""Bounds the bytes that HTTP requests and answers hold while they come and go: of all, and of each caller."""

from collections.abc import Iterator
from contextlib import contextmanager

from relay_server import errors

# Less than this of one answer is not counted: a connection may hold so much anyway.
FREE_BYTES = 64 << 10
_RETRY_MS = 1000


class Share:
    """What one request or answer holds. `add` raises Overloaded when there is no room for more."""

    def __init__(self, budget: "Budget", caller: str) -> None:
        self._budget = budget
        self._caller = caller
        self.bytes = 0

    def add(self, size: int) -> None:
        self._budget.take(self._caller, size)
        self.bytes += size


class Budget:
    """Each caller has half of it at the most, so that one alone leaves room for others."""

    def __init__(self, bytes_max: int) -> None:
        self._most = bytes_max
        self.held = 0
        self._of: dict[str, int] = {}

    @contextmanager
    def share(self, caller: str, size: int = 0) -> Iterator[Share]:
        """For as long as something is held; `caller` is a principal, or an address. Raises Overloaded."""
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
