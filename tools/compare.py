"""Says how a folder of freshly generated code differs from the committed one."""

import filecmp
from pathlib import Path


def compare(fresh: Path, committed: Path) -> list[str]:
    """Name each file that is missing, left over or different, one line a file."""
    left, right = listing(fresh), listing(committed)
    lines = [f"missing:   {name}" for name in sorted(left - right)]
    lines += [f"left over: {name}" for name in sorted(right - left)]
    for name in sorted(left & right):
        if not filecmp.cmp(fresh / name, committed / name, shallow=False):
            lines.append(f"differs:   {name}")
    return lines


def listing(folder: Path) -> set[str]:
    found = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(folder).as_posix() for path in found}
