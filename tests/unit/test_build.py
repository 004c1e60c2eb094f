"""What the build promises: vendored protos are unchanged, floors are honest, wheels hold what they run on."""

import importlib.util
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable
from importlib.metadata import distribution, requires
from importlib.resources import files
from pathlib import Path

import pytest

from tests.support.redis_binaries import redis7, valkey9

ROOT = Path(__file__).resolve().parents[2]
VENDORED = ROOT / "third_party" / "googleapis"
VENDORED_NAMES = [
    "google/api/annotations.proto",
    "google/api/http.proto",
    "google/rpc/error_details.proto",
    "google/rpc/status.proto",
]
GENERATED = ROOT / "clients" / "python" / "gen" / "relay" / "v1"


@pytest.mark.parametrize("name", VENDORED_NAMES)
def test_vendored_proto_is_the_installed_one(name: str) -> None:
    installed = distribution("googleapis-common-protos").locate_file(name)
    assert (VENDORED / name).read_text() == Path(str(installed)).read_text()


def test_nothing_else_is_vendored_from_google() -> None:
    found = {path.relative_to(VENDORED).as_posix() for path in VENDORED.rglob("*.proto")}
    assert found == set(VENDORED_NAMES)


@pytest.mark.parametrize(
    ("pattern", "constant", "requirement"),
    [
        ("*_pb2_grpc.py", r"GRPC_GENERATED_VERSION = '([\d.]+)'", "grpcio"),
        ("*_pb2.py", r"Protobuf Python Version: ([\d.]+)", "protobuf"),
    ],
)
def test_floor_is_the_version_the_generated_code_asks(pattern: str, constant: str, requirement: str) -> None:
    asked = {match for path in GENERATED.glob(pattern) for match in re.findall(constant, path.read_text())}
    (version,) = asked  # two would mean code of several generators
    for name in ("relay-client", "relay-broker"):
        declared = next(line for line in requires(name) or [] if re.match(rf"{requirement}\b(?!-)", line))
        floor = re.search(r">=([\d.]+)", declared)
        assert floor, declared
        assert _version(floor[1]) == _version(version), f"{name} asks {declared}"


def test_generated_code_imports_on_the_oldest_runtimes_we_allow(tmp_path: Path) -> None:
    lock = ROOT / "requirements" / "floor.txt"
    uv = [
        str(Path(sys.executable).with_name("uv")),
        "pip",
        "install",
        "--quiet",
        "--system-certs",
        "--python",
        sys.executable,
    ]
    subprocess.run([*uv, "--require-hashes", "-r", str(lock), "--target", str(tmp_path)], check=True)
    modules = ", ".join(f"relay.v1.{path.stem}" for path in sorted(GENERATED.glob("*_pb2*.py")))
    program = f"import grpc, {modules}; print(grpc.__version__)"
    # -S keeps this environment's newer packages out; -W error catches the "gencode is newer" warnings.
    done = subprocess.run(
        [sys.executable, "-S", "-W", "error", "-c", program],
        env={"PYTHONPATH": f"{tmp_path}:{GENERATED.parents[1]}"},
        check=True,
        capture_output=True,
        text=True,
    )
    assert f"grpcio=={done.stdout.strip()} " in lock.read_text()


def _version(text: str) -> list[int]:
    numbers = [int(part) for part in text.split(".")]
    return numbers[:-1] if numbers[-1] == 0 and len(numbers) > 2 else numbers


def test_generated_code_agrees_with_itself_and_is_typed() -> None:
    package = Path(str(files("relay.v1")))
    assert package == GENERATED
    assert (package.parent / "py.typed").exists()
    assert importlib.util.find_spec("relay.v1.queue_service_pb2_grpc")
    for stub in ("job_pb2.pyi", "queue_service_pb2_grpc.pyi"):
        assert (package / stub).exists()


@pytest.mark.parametrize(
    ("project", "wanted"),
    [
        (
            ".",
            [
                "relay_server/__init__.py",
                "relay_server/py.typed",
                "relay_worker/__init__.py",
                "relay_cli/__init__.py",
            ],
        ),
        (
            "clients/python",
            ["relay/v1/job_pb2.py", "relay/v1/job_pb2.pyi", "relay/py.typed", "relay_client/py.typed"],
        ),
    ],
)
def test_wheel_holds_every_file_of_its_packages(project: str, wanted: list[str], tmp_path: Path) -> None:
    folder = ROOT / project
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=folder, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    assert held >= set(wanted)
    packages = tomllib.loads((folder / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"][
        "wheel"
    ]
    for package in packages["packages"]:
        source = folder / package
        tracked = _tracked(source)
        missing = {f"{source.name}/{name}" for name in tracked} - held
        assert not missing, "the wheel lacks files that the repository holds"
        assert not [name for name in held if "__pycache__" in name]


def _tracked(source: Path) -> list[str]:
    listing = subprocess.run(["git", "ls-files"], cwd=source, check=False, capture_output=True, text=True)
    if listing.returncode:
        pytest.skip("not a git checkout: no list of files to compare the wheel with")
    return [name for name in listing.stdout.splitlines() if (source / name).exists()]


@pytest.mark.parametrize(("find", "says"), [(redis7, "Redis server v=7."), (valkey9, "Valkey server v=9.")])
def test_both_servers_of_the_tests_run(find: Callable[[], Path], says: str) -> None:
    answer = subprocess.run([find(), "--version"], capture_output=True, text=True, check=True)
    assert answer.stdout.startswith(says)


def test_the_page_shows_the_layers_of_the_import_rule() -> None:
    rules = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = (rule["layers"] for rule in rules if rule.get("containers") == ["relay_server"])
    page = (ROOT / "docs" / "architecture.md").read_text()
    table = page[page.index("| layer |") :].split("\n\n")[0].splitlines()[2:]
    shown = [re.findall(r"`(\w+)`", row.split("|")[1]) for row in table]
    assert shown == [layer.split(" | ") for layer in layers]
