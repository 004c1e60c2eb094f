"""Programs out of Debian's packages, unpacked into a cache: needs no root and installs nothing."""

import fcntl
import functools
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

# Part of every Debian system, and bound to its loader and kernel; or no library of a program at all.
_LEFT_OUT = re.compile(r"libc6|libcrypt1|libjs-")


class Missing(Exception):
    """A program cannot be had; the text says what was tried."""


def _need_apt() -> None:
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        raise Missing("it is not on PATH, and there is no apt-get to fetch it.")


def run(command: list[str], folder: Path, *, within_s: float = 300) -> str:
    """What a command says, in English. Raises Missing, with what it said, when it fails or takes too long."""
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=within_s,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        raise Missing(f"`{shlex.join(command)}` did not end within {within_s:g} s.") from late
    if done.returncode:
        said = done.stderr[-600:].strip()
        raise Missing(f"`{shlex.join(command)}` ended with {done.returncode}: {said}.")
    return done.stdout


def own_lists(work: Path, *, within_s: float = 300) -> list[str]:
    """Options for new package lists in `work`: the system's may be absent or old, and only root may refresh them."""
    options = ["-o", f"Dir::State::Lists={work}/apt/lists", "-o", f"Dir::Cache={work}/apt/cache"]
    for folder in ("apt/lists/partial", "apt/cache/archives/partial"):
        (work / folder).mkdir(parents=True, exist_ok=True)
    run(["apt-get", *options, "update"], work, within_s=within_s)
    return options


def _unpack(work: Path, tree: Path) -> None:
    """Unpacks the packages that lie in `work`, and removes them."""
    for package in sorted(work.glob("*.deb")):
        run(["dpkg", "-x", str(package), str(tree)], work)
        package.unlink()


def cache_folder() -> Path:
    """Where fetched programs are kept between runs: $RELAY_TEST_CACHE, else ~/.cache/relay."""
    chosen = os.environ.get("RELAY_TEST_CACHE")
    folder = Path(chosen) if chosen else Path.home() / ".cache" / "relay"
    folder.mkdir(parents=True, exist_ok=True)
    return folder.absolute()


def cached(
    name: str,
    works: Callable[[Path], bool],
    download: Callable[[Path], None],
    finish: Callable[[Path, Path], None],
) -> Path:
    """The folder `name` of the cache, made anew when it does not work.

    `download` leaves packages in a work folder; `finish` writes launchers into the tree of what was unpacked, for
    when that lies in the cache.
    """
    target = cache_folder() / name
    # Test processes run side by side: one fetches, the others wait for it and find the result.
    with target.with_name(f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not works(target):
            _need_apt()
            with tempfile.TemporaryDirectory(dir=target.parent, prefix=f"{name}.") as folder:
                work = Path(folder)
                download(work)
                tree = work / "tree"
                _unpack(work, tree)
                finish(tree, target)
                shutil.rmtree(target, ignore_errors=True)
                tree.rename(target)
    return target


def library_path(tree: Path, target: Path) -> str:
    """For LD_LIBRARY_PATH, once `tree` was moved to `target`: where the system's loader does not look."""
    folders = sorted({path.parent.relative_to(tree) for path in tree.rglob("lib*.so*")})
    return ":".join(str(target / folder) for folder in folders)


def write_launcher(tree: Path, inside: str, target: Path) -> None:
    """A script in place of the program at `inside`, for when `tree` was moved to `target`."""
    launcher = tree / Path(inside).name
    # `exec` keeps the process id, so that signals reach the program.
    launcher.write_text(
        "#!/bin/sh\n"
        f"LD_LIBRARY_PATH={shlex.quote(library_path(tree, target))}${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}\n"
        "export LD_LIBRARY_PATH\n"
        f'exec {shlex.quote(str(target / inside))} "$@"\n'
    )
    launcher.chmod(0o755)


def debian_program(package: str, inside: str) -> Path:
    """The program that lies at `inside` in Debian's `package`: on PATH, in the cache, or fetched with its libraries.

    Fails the test when it cannot be had.
    """
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

    def finish(tree: Path, target: Path) -> None:
        if not (tree / inside).exists():
            raise Missing(f"Debian's {package} has no {inside}.")
        write_launcher(tree, inside, target)

    try:
        folder = cached(
            f"debian-{package}",
            lambda target: (target / name).exists(),
            lambda work: download(package, work),
            finish,
        )
    except Missing as missing:
        return str(missing)
    return folder / name


def download(package: str, work: Path, *, within_s: float = 300) -> None:
    """Downloads a package, and the libraries that it depends on, into `work`."""
    try:
        _download_by(package, work, [], within_s)
    except Missing:  # the system's lists may be absent or old, and only root may refresh them
        _download_by(package, work, own_lists(work, within_s=within_s), within_s)


def _download_by(package: str, work: Path, options: list[str], within_s: float) -> None:
    depends = run(["apt-cache", *options, "depends", package], work, within_s=within_s)
    libraries = re.findall(r"^ +\|?(?:Pre)?Depends: (lib[^<>\s]+)$", depends, re.MULTILINE)
    wanted = [name for name in libraries if not _LEFT_OUT.match(name)]
    run(["apt-get", *options, "download", package, *wanted], work, within_s=within_s)
