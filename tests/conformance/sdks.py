"""The clients that the kit is run for: name, what builds the driver, and what starts it. New ones are added here."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DRIVERS = ROOT / "clients" / "conformance" / "drivers"
_BUILD_S = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Sdk:
    """`build` makes the driver, if anything is to be made, and returns the command that starts it."""

    name: str
    build: Callable[[], list[str]]


def _python() -> list[str]:
    return [sys.executable, str(DRIVERS / "python_sdk.py")]


def _go() -> list[str]:
    binary = Path(tempfile.mkdtemp(prefix="relay-conformance-")) / "driver"
    _run("go", "build", "-o", str(binary), "./conformance-driver", folder=ROOT / "clients" / "go")
    return [str(binary)]


def _typescript() -> list[str]:
    folder = ROOT / "clients" / "typescript"
    if not (folder / "node_modules" / "typescript").is_dir():
        _run("npm", "ci", "--silent", folder=folder)
    out = tempfile.mkdtemp(prefix=".conformance-", dir=folder)  # its imports are looked up from there
    _run("npx", "tsc", "-p", ".", "--outDir", out, folder=folder)
    return ["node", str(Path(out) / "conformance-driver" / "main.js")]


def _run(*command: str, folder: Path) -> None:
    if shutil.which(command[0]) is None:
        raise FileNotFoundError(f"{command[0]} is not on PATH; install it to build the driver in {folder}")
    done = subprocess.run(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=_BUILD_S
    )
    assert done.returncode == 0, f"{' '.join(command)} in {folder}:\n{done.stdout}"


def wrong(*defects: str) -> list[str]:
    """The Python driver, broken on purpose."""
    return [sys.executable, str(DRIVERS / "wrong.py"), *defects]


SDKS = (
    Sdk(name="python", build=_python),
    Sdk(name="go", build=_go),
    Sdk(name="typescript", build=_typescript),
)
