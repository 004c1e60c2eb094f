"""Puts generated code in its place, or says how the committed copy differs. Runs buf, which generates some of it."""

import argparse
import filecmp
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main_of(description: str, generate: Callable[[Path], None], committed: Path) -> int:
    """A program that brings one folder up to date, or with --check fails when it is not."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only fail if the committed code differs")
    check = parser.parse_args().check
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder, "fresh")
        fresh.mkdir()
        generate(fresh)
        return 0 if settle(fresh, committed, check=check) else 1


def run_buf(template: str, out: Path, environment: Mapping[str, str] = os.environ) -> None:
    """Generates from proto/ what a template says."""
    buf = shutil.which("buf", path=str(Path(sys.executable).parent))
    if buf is None:
        sys.exit("no buf beside this Python: run `make venv`")
    command = [buf, "generate", "--template", template, "--output", str(out)]
    done = subprocess.run(command, cwd=ROOT, env=dict(environment), check=False)
    if done.returncode:
        sys.exit(done.returncode)


def settle(fresh: Path, committed: Path, *, check: bool) -> bool:
    """Puts a folder of fresh code in the place of the committed one, or says how they differ. False when they do."""
    differences, name = compare(fresh, committed), committed.relative_to(ROOT)
    if check:
        for line in differences:
            print(line)
        if differences:
            print(f"{name} is not what its protos generate: run `make gen`, commit the result.")
        return not differences
    # The folder holds generated code only, so replacing it whole also removes what a deleted proto left.
    if differences:
        shutil.rmtree(committed, ignore_errors=True)
        shutil.copytree(fresh, committed)
    print(f"{name}: {len(differences)} files changed")
    return True


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
