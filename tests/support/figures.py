"""What a soak or an attack measured, with the limit it must keep."""

from dataclasses import dataclass
from pathlib import Path

KIB, MIB = 1 << 10, 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A measured value, its unit, and the most it may be.

    `timed`: a busy machine makes it worse, so no suite judges it.
    """

    name: str
    value: float
    most: float
    unit: str
    timed: bool = False

    @property
    def ok(self) -> bool:
        return self.value <= self.most

    def __str__(self) -> str:
        word = "ok " if self.ok else "BAD"
        return f"{word} {self.name}: {self.value:,.1f} {self.unit} (at most {self.most:,.0f})"


def rss_bytes(pid: int) -> int:
    """Resident memory of a process, in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * KIB
    raise AssertionError("no VmRSS")
