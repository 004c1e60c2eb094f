"""Programs out of Debian's packages, unpacked into the cache: needs no root and installs nothing.

Looked for in this order: the program on PATH, the cache, Debian's packages, which are those of the program and the
libraries that they name.
"""

import fcntl
import functools
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.support.redis_binaries import cache_folder

_FETCH_TIMEOUT_S = 300
# Part of every Debian system, and bound to its loader and kernel; or no library of a program at all.
_LEFT_OUT = re.compile(r"libc6|libcrypt1|libjs-")


class _Missing(Exception):
    """The program cannot be had; the text says what was tried."""


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
        except _Missing as missing:
            return str(missing)
    return target / name


def _fetch(package: str, inside: str, target: Path) -> None:
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        raise _Missing("it is not on PATH, and there is no apt-get to fetch it.")
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f"{target.name}.") as folder:
        work = Path(folder)
        try:
            _download(package, work, [])
        except _Missing:  # the system's lists may be absent or old, and only root may refresh them
            _download(package, work, _lists_of_our_own(work))
        tree = work / "tree"
        for found in sorted(work.glob("*.deb")):
            _run(["dpkg", "-x", str(found), str(tree)], work)
        if not (tree / inside).exists():
            raise _Missing(f"Debian's {package} has no {inside}.")
        _write_launcher(tree, inside, target)
        shutil.rmtree(target, ignore_errors=True)
        tree.rename(target)


def _download(package: str, work: Path, options: list[str]) -> None:
    depends = _run(["apt-cache", *options, "depends", package], work)
    libraries = re.findall(r"^ +\|?(?:Pre)?Depends: (lib[^<>\s]+)$", depends, re.MULTILINE)
    wanted = [name for name in libraries if not _LEFT_OUT.match(name)]
    _run(["apt-get", *options, "download", package, *wanted], work)


def _lists_of_our_own(work: Path) -> list[str]:
    (work / "apt" / "lists" / "partial").mkdir(parents=True)
    (work / "apt" / "cache" / "archives" / "partial").mkdir(parents=True)
    options = ["-o", f"Dir::State::Lists={work}/apt/lists", "-o", f"Dir::Cache={work}/apt/cache"]
    _run(["apt-get", *options, "update"], work)
    return options


def _run(command: list[str], folder: Path) -> str:
    # apt's answers are read above, so they must be in English.
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_FETCH_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        raise _Missing(f"`{shlex.join(command)}` did not end within {_FETCH_TIMEOUT_S} s.") from late
    if done.returncode:
        said = done.stderr[-400:].strip()
        raise _Missing(f"`{shlex.join(command)}` ended with {done.returncode}: {said}.")
    return done.stdout


def _write_launcher(tree: Path, inside: str, target: Path) -> None:
    """A script in place of the program: its libraries are not where the system looks for them."""
    folders = sorted({path.parent.relative_to(tree) for path in tree.rglob("lib*.so*")})
    libraries = ":".join(str(target / folder) for folder in folders)
    launcher = tree / Path(inside).name
    # `exec` keeps the process id, so that signals reach the program.
    launcher.write_text(
        "#!/bin/sh\n"
        f"LD_LIBRARY_PATH={shlex.quote(libraries)}${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}\n"
        "export LD_LIBRARY_PATH\n"
        f'exec {shlex.quote(str(target / inside))} "$@"\n'
    )
    launcher.chmod(0o755)
