"""Finds a Chromium for the browser tests, and unpacks Debian's headless one when the machine has none.

Looked for in this order: $RELAY_CHROMIUM, the usual names on PATH, the cache, Debian's packages. The last needs no
root and installs nothing: the packages are unpacked into the cache, with those libraries that the machine lacks.
"""

import functools
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.debian import Missing, cached, library_path, own_lists, run

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_PACKAGE = "chromium-headless-shell"
_PROGRAM = "usr/lib/chromium/chromium-headless-shell"
# A page without letters is no page: a machine may have no font at all, or some of which Chromium shows no letter.
_FONTS = "fonts-dejavu-core"
_FAMILIES = {"sans-serif": "DejaVu Sans", "system-ui": "DejaVu Sans", "monospace": "DejaVu Sans Mono"}
_KINDS = ("recommends", "suggests", "conflicts", "breaks", "replaces", "enhances")
_BY_HAND = "Install Chromium (Debian: apt-get install chromium) or name one in RELAY_CHROMIUM."


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
    except Missing as missing:
        return str(missing)


def _find() -> Path:
    chosen = os.environ.get("RELAY_CHROMIUM")
    if chosen:
        if _starts(Path(chosen)):
            return Path(chosen)
        raise Missing(f"RELAY_CHROMIUM is {chosen}, which does not start.")
    for name in _NAMES:
        found = shutil.which(name)
        if found and _starts(Path(found)):
            return Path(found)
    folder = cached(
        "chromium-with-fonts", lambda target: _starts(target / "chromium"), _download, _write_launcher
    )
    if not _starts(folder / "chromium"):
        raise Missing(f"Debian's {_PACKAGE}, unpacked in {folder}, does not start.")
    return folder / "chromium"


def _starts(program: Path) -> bool:
    try:
        answer = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.returncode == 0 and re.search(r"Chrom(e|ium)", answer.stdout) is not None


def _download(work: Path) -> None:
    options = own_lists(work)
    run(["apt-get", *options, "download", *_packages(work, options)], work)


def _packages(work: Path, options: list[str]) -> list[str]:
    """The browser, and of all that it depends on what this machine has not installed."""
    without = [f"--no-{kind}" for kind in _KINDS]
    closure = run(["apt-cache", *options, "depends", "--recurse", *without, _PACKAGE], work)
    wanted = set(re.findall(r"^([a-z0-9][a-z0-9.+-]+)$", closure, re.MULTILINE)) | {_PACKAGE}
    known = run(["dpkg-query", "-W", "-f", "${db:Status-Status} ${Package}\n"], work)
    return sorted(wanted - set(re.findall(r"^installed (\S+)$", known, re.MULTILINE)) | {_FONTS})


def _write_launcher(tree: Path, target: Path) -> None:
    """A script in place of the browser: its libraries are not where the system looks for them, and its fonts are the
    same on every machine."""
    fonts = tree / "fonts.conf"
    fonts.write_text(
        '<?xml version="1.0"?>\n<!DOCTYPE fontconfig SYSTEM "fonts.dtd">\n<fontconfig>\n'
        f"<dir>{target}/usr/share/fonts/truetype/dejavu</dir>\n<cachedir>{target}/fontcache</cachedir>\n"
        + "".join(
            f"<alias><family>{name}</family><prefer><family>{font}</family></prefer></alias>\n"
            for name, font in _FAMILIES.items()
        )
        + "</fontconfig>\n"
    )
    launcher = tree / "chromium"
    launcher.write_text(
        "#!/bin/sh\n"
        f'export LD_LIBRARY_PATH="{library_path(tree, target)}${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}"\n'
        f'export FONTCONFIG_FILE="{target}/fonts.conf"\n'
        f'exec "{target}/{_PROGRAM}" "$@"\n'
    )
    launcher.chmod(0o755)
