"""Finds a Chromium for the browser tests, and unpacks Debian's headless one when the machine has none.

Looked for in this order: $RELAY_CHROMIUM, the usual names on PATH, the cache, Debian's packages. The last needs no
root and installs nothing: the packages are unpacked into the cache, with those libraries that the machine lacks.
"""

import fcntl
import functools
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.support.redis_binaries import cache_folder

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_PACKAGE = "chromium-headless-shell"
_PROGRAM = "usr/lib/chromium/chromium-headless-shell"
# A page without letters is no page: a machine for tests may have no font at all.
_EXTRA = ("fonts-dejavu-core", "fontconfig-config")
_KINDS = ("recommends", "suggests", "conflicts", "breaks", "replaces", "enhances")
_FETCH_TIMEOUT_S = 300
_BY_HAND = "Install Chromium (Debian: apt-get install chromium) or name one in RELAY_CHROMIUM."


class _Missing(Exception):
    """No Chromium here; the text says what was tried."""


def chromium() -> Path:
    """The path of a Chromium that starts. Fails the test when there is none and none can be had."""
    outcome = _outcome()
    if isinstance(outcome, str):
        pytest.fail(f"no Chromium for the browser tests: {outcome} {_BY_HAND}", pytrace=False)
    return outcome


@functools.cache
def _outcome() -> Path | str:
    try:
        return _find()
    except _Missing as missing:
        return str(missing)


def _find() -> Path:
    chosen = os.environ.get("RELAY_CHROMIUM")
    if chosen:
        if _starts(Path(chosen)):
            return Path(chosen)
        raise _Missing(f"RELAY_CHROMIUM is {chosen}, which does not start.")
    for name in _NAMES:
        found = shutil.which(name)
        if found and _starts(Path(found)):
            return Path(found)
    target = cache_folder() / "chromium"
    # Test processes run side by side: one fetches, the others wait for it and find the result.
    with (cache_folder() / "chromium.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _starts(target / "chromium"):
            _fetch(target)
    if not _starts(target / "chromium"):
        raise _Missing(f"Debian's {_PACKAGE}, unpacked in {target}, does not start.")
    return target / "chromium"


def _starts(program: Path) -> bool:
    try:
        answer = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.returncode == 0 and re.search(r"Chrom(e|ium)", answer.stdout) is not None


def _fetch(target: Path) -> None:
    """Unpacks the browser and the libraries it needs, and writes a launcher that finds them."""
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        raise _Missing("it is not on PATH, and there is no apt-get to fetch it.")
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="chromium.") as folder:
        work = Path(folder)
        options = _own_lists(work)
        _run(["apt-get", *options, "update"], work)
        _run(["apt-get", *options, "download", *_packages(work, options)], work)
        tree = work / "tree"
        for package in sorted(work.glob("*.deb")):
            _run(["dpkg", "-x", str(package), str(tree)], work)
            package.unlink()
        _write_launcher(tree, target)
        shutil.rmtree(target, ignore_errors=True)
        tree.rename(target)


def _own_lists(work: Path) -> list[str]:
    """Options for package lists of our own: the system's may be absent or old, and only root may refresh them."""
    (work / "apt" / "lists" / "partial").mkdir(parents=True)
    (work / "apt" / "cache" / "archives" / "partial").mkdir(parents=True)
    return ["-o", f"Dir::State::Lists={work}/apt/lists", "-o", f"Dir::Cache={work}/apt/cache"]


def _packages(work: Path, options: list[str]) -> list[str]:
    """The browser, and of all that it depends on what this machine has not installed."""
    without = [f"--no-{kind}" for kind in _KINDS]
    closure = _run(["apt-cache", *options, "depends", "--recurse", *without, _PACKAGE], work)
    wanted = set(re.findall(r"^([a-z0-9][a-z0-9.+-]+)$", closure, re.MULTILINE)) | {_PACKAGE, *_EXTRA}
    known = _run(["dpkg-query", "-W", "-f", "${db:Status-Status} ${Package}\n"], work)
    return sorted(wanted - set(re.findall(r"^installed (\S+)$", known, re.MULTILINE)))


def _run(command: list[str], folder: Path) -> str:
    # apt's messages are read above, so they must be in English.
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
        raise _Missing(f"`{command[0]}` did not end within {_FETCH_TIMEOUT_S} s.") from late
    if done.returncode:
        raise _Missing(f"`{command[0]}` ended with {done.returncode}: {done.stderr[-400:].strip()}.")
    return done.stdout


def _write_launcher(tree: Path, target: Path) -> None:
    """A script in place of the browser: its libraries and fonts are not where the system looks for them."""
    folders = sorted({path.parent.relative_to(tree) for path in tree.rglob("lib*.so*")})
    libraries = ":".join(str(target / folder) for folder in folders)
    fonts = tree / "fonts.conf"
    fonts.write_text(
        '<?xml version="1.0"?>\n<!DOCTYPE fontconfig SYSTEM "fonts.dtd">\n<fontconfig>\n'
        f"<dir>{target}/usr/share/fonts</dir><dir>/usr/share/fonts</dir>\n"
        f"<cachedir>{target}/fontcache</cachedir>\n</fontconfig>\n"
    )
    launcher = tree / "chromium"
    launcher.write_text(
        "#!/bin/sh\n"
        f'export LD_LIBRARY_PATH="{libraries}${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}"\n'
        f'export FONTCONFIG_FILE="{target}/fonts.conf"\n'
        f'exec "{target}/{_PROGRAM}" "$@"\n'
    )
    launcher.chmod(0o755)
