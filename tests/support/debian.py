"""Programs out of Debian's packages, unpacked into the cache: needs no root and installs nothing.

Looked for in this order: the program on PATH, the cache, Debian's packages, which are those of the program and the
libraries that they name.
"""

import fcntl
import functools
import re
import shutil
import tempfile
from pathlib import Path

import pytest

from tests.support.apt import Missing, need_apt, own_lists, run, unpack, write_launcher
from tests.support.redis_binaries import cache_folder

# Part of every Debian system, and bound to its loader and kernel; or no library of a program at all.
_LEFT_OUT = re.compile(r"libc6|libcrypt1|libjs-")


def debian_program(package: str, inside: str) -> Path:
    """The path of a program that lies at `inside` in Debian's `package`. Fails the test when it cannot be had."""
    outcome = _outcome(package, inside)
    if isinstance(outcome, str):
        name = Path(inside).name
        pytest.fail(
            f"no {name}: {outcome} Install it (Debian: apt-get install {package}) or put it on PATH.",
            pytrace=False,
        )
    return outcome


@functools.cache
def _outcome(package: str, inside: str) -> Path | str:
    name = Path(inside).name
    on_path = shutil.which(name)
    if on_path:
        return Path(on_path)
    target = cache_folder() / f"debian-{package}"
    # Test processes run side by side: one fetches, the others wait for it and find the result.
    with (cache_folder() / f"debian-{package}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            if not (target / name).exists():
                _fetch(package, inside, target)
        except Missing as missing:
            return str(missing)
    return target / name


def _fetch(package: str, inside: str, target: Path) -> None:
    need_apt()
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f"{target.name}.") as folder:
        work = Path(folder)
        try:
            _download(package, work, [])
        except Missing:  # the system's lists may be absent or old, and only root may refresh them
            _download(package, work, own_lists(work))
        tree = work / "tree"
        unpack(work, tree)
        if not (tree / inside).exists():
            raise Missing(f"Debian's {package} has no {inside}.")
        write_launcher(tree, inside, target)
        shutil.rmtree(target, ignore_errors=True)
        tree.rename(target)


def _download(package: str, work: Path, options: list[str]) -> None:
    depends = run(["apt-cache", *options, "depends", package], work)
    libraries = re.findall(r"^ +\|?(?:Pre)?Depends: (lib[^<>\s]+)$", depends, re.MULTILINE)
    wanted = [name for name in libraries if not _LEFT_OUT.match(name)]
    run(["apt-get", *options, "download", package, *wanted], work)
