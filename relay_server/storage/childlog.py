"""Keeps what the embedded Redis prints, in a file of bounded size."""

from pathlib import Path

_TAIL_BYTES = 8192


class ChildLog:
    """Appends to `path` up to `bytes_max`, then keeps that file as `.1` and begins anew."""

    def __init__(self, path: Path, *, bytes_max: int) -> None:
        self.path = path
        self._bytes_max = bytes_max
        self._tail = b""
        self._file = path.open("ab", buffering=0)
        self._size = self._file.tell()

    def write(self, chunk: bytes) -> None:
        self._tail = (self._tail + chunk)[-_TAIL_BYTES:]
        if self._size and self._size + len(chunk) > self._bytes_max:
            self._file.close()
            self.path.replace(self.path.with_name(self.path.name + ".1"))
            self._file = self.path.open("ab", buffering=0)
            self._size = 0
        try:
            self._size += self._file.write(chunk) or 0
        except OSError:
            return  # a full disk must not end the supervision; the last lines are kept in memory

    def last_lines(self, count: int) -> list[str]:
        """The newest lines of this run, at most `count`."""
        return self._tail.decode(errors="replace").splitlines()[-count:]

    def forget_tail(self) -> None:
        """Begins a new run: lines of an earlier run are not quoted any more."""
        self._tail = b""

    def close(self) -> None:
        self._file.close()
