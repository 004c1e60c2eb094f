"""The Dockerfile: what hadolint says, and its steps done in a clean folder, whose result then serves the demo."""

import fnmatch
import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.deployments.dockerfile import Stage, build, steps
from tests.deployments.judges import ROOT, judge
from tests.support.redis_binaries import redis7
from tests.support.redis_server import running_server

DOCKERFILE = ROOT / "Dockerfile"


def test_hadolint_finds_nothing() -> None:
    done = judge("hadolint", "--failure-threshold", "style", DOCKERFILE)
    assert done.returncode == 0, done.stdout + done.stderr


def test_hadolint_would_find_something(tmp_path: Path) -> None:
    bad = tmp_path / "Dockerfile"
    bad.write_text(DOCKERFILE.read_text() + "\nRUN apt-get install curl\n")
    assert judge("hadolint", bad).returncode != 0


def test_the_image_runs_as_nobody_in_particular() -> None:
    last = max(index for index, step in enumerate(steps(DOCKERFILE.read_text())) if step.word == "FROM")
    users = [step.rest for step in steps(DOCKERFILE.read_text())[last:] if step.word == "USER"]
    assert users == ["10001:10001"]


@pytest.mark.timeout(400)
def test_the_steps_in_a_clean_folder_make_an_install_that_passes_the_demo() -> None:
    # Short: a unix socket's path has room for 107 bytes.
    with tempfile.TemporaryDirectory(prefix="image-", dir="/tmp") as folder:
        home = Path(folder)
        prefix = home / "opt"
        context = clean_context(home / "context")
        arguments = {"SOURCE": str(home / "src"), "PREFIX": str(prefix)}
        image = build(DOCKERFILE.read_text(), context, home / "root", arguments)
        assert (home / "root/var/lib/relay").is_dir()
        shutil.rmtree(home / "src")  # a stage of its own: nothing may be needed of it
        assert not (prefix / "bin" / "pip").exists()
        page = prefix.glob("lib/python*/site-packages/relay_server/gateway/static/index.html")
        assert list(page), "the dashboard's files are not in the image"
        durable = running_server(redis7(), "--appendonly", "yes")
        with durable as redis, served(image, home, f"unix://{redis.socket}") as environment:
            demo(image, environment)


def clean_context(target: Path) -> Path:
    """The tracked files that .dockerignore lets through, in a folder of their own."""
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    rules = [line for line in (ROOT / ".dockerignore").read_text().split("\n") if line and line[0] != "#"]
    for name in filter(None, tracked.stdout.decode().split("\0")):
        if (ROOT / name).is_file() and not ignored(name, rules):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target / name)
    return target


def ignored(name: str, rules: list[str]) -> bool:
    """Whether the builder does not see a file. The last rule that fits it, or a folder above it, decides."""
    verdict = False
    parts = Path(name).parts
    above = ["/".join(parts[: depth + 1]) for depth in range(len(parts))]
    for rule in rules:
        pattern = rule.removeprefix("!")
        if any(fnmatch.fnmatch(each, pattern) and fits_depth(each, pattern) for each in above):
            verdict = not rule.startswith("!")
    return verdict


def fits_depth(path: str, pattern: str) -> bool:
    """A `*` stands for no slash, unless there are two."""
    return "**" in pattern or path.count("/") == pattern.count("/")


@pytest.mark.parametrize(
    ("name", "hidden"),
    [
        ("Makefile", True),
        ("tests/conftest.py", True),
        ("clients/go/go.mod", True),
        ("clients/python/pyproject.toml", False),
        ("relay_server/engine/lua/ack.lua", False),
        ("relay_server/__pycache__/cli.pyc", True),
        (".git/config", True),
    ],
)
def test_the_builder_sees_what_it_copies_and_nothing_else(name: str, hidden: bool) -> None:
    rules = (ROOT / ".dockerignore").read_text().splitlines()
    assert ignored(name, [rule for rule in rules if rule and not rule.startswith("#")]) is hidden


@contextmanager
def served(image: Stage, home: Path, redis_url: str) -> Iterator[dict[str, str]]:
    """The image's CMD and a worker, on free ports; gives the environment in which `relay` reaches them."""
    own = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("RELAY_", "PYTHON"))},
        **image.environment,
        "RELAY_REDIS_URL": redis_url,
        "RELAY_LISTEN": "127.0.0.1:0",
        "RELAY_HTTP": "127.0.0.1:0",
        "RELAY_DATA_DIR": str(home / "data"),
    }
    log = home / "server.log"
    started = []
    try:
        started.append(start(image.command, own, image.workdir, log))
        ready = wait_for_line(log, "relay-server ready", started[0])
        addresses = dict(word.split("=", 1) for word in ready.split() if "=" in word)
        own |= {"RELAY_SERVER": addresses["grpc"], "RELAY_HTTP": addresses["http"]}
        health = subprocess.run(
            image.health, env=own, timeout=30, check=False, capture_output=True, text=True
        )
        assert health.returncode == 0, health.stderr
        with urllib.request.urlopen(f"http://{addresses['http']}/", timeout=10) as page:
            assert b"<script" in page.read()
        worker = ["relay-worker", "relay_worker.demo:jobs", "--queue", "demo"]
        started.append(start(worker, own, image.workdir, home / "worker.log"))
        yield own
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait(30)
    gone = subprocess.run(image.health, env=own, timeout=30, check=False, capture_output=True, text=True)
    assert gone.returncode == 1
    assert "no answer" in gone.stderr


def start(
    command: list[str], environment: dict[str, str], folder: Path, log: Path
) -> "subprocess.Popen[bytes]":
    with log.open("wb") as output:
        program = shutil.which(command[0], path=environment["PATH"])
        assert program is not None
        return subprocess.Popen(
            [program, *command[1:]], env=environment, cwd=folder, stdout=output, stderr=subprocess.STDOUT
        )


def wait_for_line(log: Path, text: str, process: "subprocess.Popen[bytes]") -> str:
    ends = time.monotonic() + 60
    while True:
        said = log.read_text()
        for line in said.splitlines():
            if text in line:
                return line
        assert process.poll() is None, said[-2000:]
        assert time.monotonic() < ends, f"no {text!r} within 60 s: {said[-2000:]}"
        time.sleep(0.02)


def demo(image: Stage, environment: dict[str, str]) -> None:
    relay = shutil.which("relay", path=environment["PATH"])
    assert relay is not None
    done = subprocess.run(
        [
            relay,
            "--server",
            environment["RELAY_SERVER"],
            "--output",
            "json",
            "demo",
            "--jobs",
            "200",
            "--exit",
        ],
        env=environment,
        cwd=image.workdir,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    summary = json.loads(done.stdout.splitlines()[-1])
    assert summary["accounted"], summary
    assert summary["doctor_clean"], summary
