"""Debian's packages for tests: fetched and unpacked into a folder, without root and without installing anything."""

import os
import shlex
import shutil
import subprocess
from pathlib import Path


class Missing(Exception):
    """A program cannot be had; the text says what was tried."""


def need_apt() -> None:
    """Raises Missing on a system of another kind."""
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


def unpack(work: Path, tree: Path) -> None:
    """Unpacks the packages that lie in `work`, and removes them."""
    for package in sorted(work.glob("*.deb")):
        run(["dpkg", "-x", str(package), str(tree)], work)
        package.unlink()


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
