"""The clients that the kit is run for: name, what builds the driver, and what starts it. New ones are added here."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DRIVERS = ROOT / "clients" / "conformance" / "drivers"
_BUILD_S = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Sdk:
    """`build` makes the driver in a folder, if anything is to be made, and returns the command that starts it."""

    name: str
    build: Callable[[Path], list[str]]


def _python(folder: Path) -> list[str]:
    return [sys.executable, str(DRIVERS / "python_sdk.py")]


def _go(folder: Path) -> list[str]:
    binary = folder / "driver"
    go = ROOT / "tools" / "go.py"
    _run(sys.executable, str(go), "build", "-o", str(binary), "./conformance-driver", cwd=ROOT)
    return [str(binary)]


def _typescript(folder: Path) -> list[str]:
    source = ROOT / "clients" / "typescript"
    if not (source / "node_modules" / "typescript").is_dir():
        _run("npm", "install", "--no-save", "--silent", cwd=source)
    _run("npx", "tsc", "-p", ".", "--outDir", str(folder / "build"), cwd=source)
    # What it imports is looked for in the folders above it.
    for name in ("node_modules", "package.json"):
        (folder / name).symlink_to(source / name)
    return ["node", str(folder / "build" / "conformance-driver" / "main.js")]


def _run(*command: str, cwd: Path) -> None:
    if shutil.which(command[0]) is None:
        raise FileNotFoundError(f"{command[0]} is not on PATH; install it to build the driver in {cwd}")
    done = subprocess.run(
        command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=_BUILD_S
    )
    assert done.returncode == 0, f"{' '.join(command)} in {cwd}:\n{done.stdout}"


def wrong(*defects: str) -> list[str]:
    """The Python driver, broken on purpose."""
    return [sys.executable, str(DRIVERS / "wrong.py"), *defects]


SDKS = (
    Sdk(name="python", build=_python),
    Sdk(name="go", build=_go),
    Sdk(name="typescript", build=_typescript),
)
