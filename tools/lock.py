"""Compiles requirements/*.txt from the .in and pyproject.toml files, or with --check says if they still fit.

The present lock is the preference, so a new release elsewhere changes nothing; --upgrade takes newer versions.
The locks hold versions and hashes, never a host or a path, so they serve any mirror. npm writes its own locks; out of
them this takes who to give money to, which npm puts there with addresses and cannot be told to leave out.
"""

import argparse
import difflib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# The lock is for every Python that we support and every platform, hence "universal" and the oldest version.
OPTIONS = ["--universal", "--python-version", "3.11", "--generate-hashes", "--no-header", "--quiet"]
OPTIONS += ["--system-certs"]  # the machine's own authorities, as pip trusts them
# Said aloud because a developer's own uv settings may say otherwise.
OPTIONS += ["--no-emit-index-url", "--no-emit-find-links"]
LOCKS = {
    # Our own SDK is installed from the tree, never by hash.
    "dev": [
        "pyproject.toml",
        "requirements/dev.in",
        "--extra=server",
        "--extra=otel",
        "--no-emit-package=relay-client",
    ],
    # The oldest runtimes that the SDK says it works with, for the test that it does.
    "floor": ["clients/python/pyproject.toml", "--resolution=lowest-direct"],
    "gen": ["requirements/gen.in"],
    "audit": ["requirements/audit.in"],
    "go": ["requirements/go.in"],
    # What the container image is made with, and what it holds.
    "build": ["requirements/build.in"],
    "image": ["pyproject.toml", "--extra=server", "--extra=otel", "--no-emit-package=relay-client"],
    "deploy": ["requirements/deploy.in"],
}
NPM = ("clients/typescript", "web")


def main() -> int:
    parser = argparse.ArgumentParser(description="Compile the hashed locks.")
    parser.add_argument("--check", action="store_true", help="change nothing; fail if a lock no longer fits")
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions that fit")
    arguments = parser.parse_args()
    stale = False
    for lock, before, after in wanted(upgrade=arguments.upgrade):
        if after == before:
            continue
        if arguments.check:
            stale = True
            changes = difflib.unified_diff(
                before.splitlines(), after.splitlines(), lock.name, "wanted", lineterm=""
            )
            print(*changes, sep="\n")
        else:
            lock.write_text(after, encoding="utf-8")
            print(f"{lock.relative_to(ROOT)} changed")
    if stale:
        print("A lock is not what `make lock` makes of it: run that and commit the result.")
    return 1 if stale else 0


def wanted(*, upgrade: bool) -> Iterator[tuple[Path, str, str]]:
    """Each lock, what it holds, and what it should hold."""
    for name, sources in LOCKS.items():
        lock = ROOT / "requirements" / f"{name}.txt"
        before = lock.read_text(encoding="utf-8") if lock.exists() else ""
        yield lock, before, compiled(lock, sources, upgrade=upgrade)
    for folder in NPM:
        lock = ROOT / folder / "package-lock.json"
        before = lock.read_text(encoding="utf-8")
        yield lock, before, without_funding(before)


def without_funding(text: str) -> str:
    """Return npm's lock as npm writes it, without the one field of packages that holds addresses."""
    lock = json.loads(text)
    for package in lock["packages"].values():
        package.pop("funding", None)
    return json.dumps(lock, indent=2, ensure_ascii=False) + "\n"


def compiled(lock: Path, sources: list[str], *, upgrade: bool) -> str:
    """Return what `lock` should hold, without touching it."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / lock.name
        if lock.exists():
            shutil.copyfile(lock, out)  # uv prefers the versions and hashes that it finds in its output file
        uv = [str(Path(sys.executable).with_name("uv")), "pip", "compile", *sources, *OPTIONS]
        uv += ["--output-file", str(out), *(["--upgrade"] if upgrade else [])]
        done = subprocess.run(uv, check=False, cwd=ROOT)
        if done.returncode:
            sys.exit(f"uv could not resolve requirements/{lock.name}; its message is above")
        return out.read_text(encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
