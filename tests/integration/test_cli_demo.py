"""`relay demo` as people run it: every job accounted for, and no process or folder left behind however it ends."""

import importlib.util
import json
import os
import signal
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from relay_client.admin import Admin
from tests.support.cli import Ended, Relay, finish, runner, start_relay
from tests.support.waiting import until

FREE = ("--listen", "127.0.0.1:0", "--http", "127.0.0.1:0")
_MARK = "DEMO_TEST"


@dataclass(frozen=True, slots=True)
class Demo:
    """Starts demos that are recognised, with all their children, by a variable of their environment."""

    folder: Path
    mark: str

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        return start_relay("demo", *arguments, TMPDIR=str(self.folder), **{_MARK: self.mark})

    def run(self, *arguments: str) -> Ended:
        return finish(self.start(*arguments))

    def processes(self) -> list[psutil.Process]:
        return [each for each in psutil.process_iter() if _environment(each).get(_MARK) == self.mark]

    def named(self, program: str) -> list[psutil.Process]:
        return [each for each in self.processes() if any(program in word for word in _command(each))]


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ() if process.status() != psutil.STATUS_ZOMBIE else {}
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return {}


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


@pytest.fixture
def demo() -> Iterator[Demo]:
    # Short: a unix socket's path has room for 107 bytes.
    with tempfile.TemporaryDirectory(prefix="demo-", dir="/tmp") as folder:
        made = Demo(Path(folder), uuid.uuid4().hex)
        yield made
        for process in made.processes():
            process.kill()


def _events(process: "subprocess.Popen[str]") -> Iterator[dict[str, Any]]:
    assert process.stdout is not None
    for line in process.stdout:
        yield json.loads(line)


def test_every_job_is_accounted_for(demo: Demo) -> None:
    ended = demo.run(*FREE, "--exit", "--output", "json")
    assert ended.code == 0, ended.err
    started, *_, summary = ended.values
    assert (started["event"], started["workers"]) == ("started", 2)
    assert started["grpc"].startswith("127.0.0.1:")
    assert started["http"].startswith("127.0.0.1:")
    assert {**summary, "duration_s": 0} == {
        "event": "summary", "queue": "demo", "enqueued": 200, "done": 193, "dead": 7, "left": 0,
        "failed_at_first": 20, "retried": 13 + 2 * 7, "duration_s": 0, "accounted": True, "doctor_clean": True,
    }  # fmt: skip
    assert demo.processes() == []
    assert list(demo.folder.iterdir()) == []


def test_options_and_the_words_of_a_terminal(demo: Demo) -> None:
    options = ("--jobs", "60", "--workers", "1", "--queue", "mine", "--fail-rate", "0.5", "--seed", "9")
    ended = demo.run("--listen", "127.0.0.1:0", "--http", "off", "--exit", *options)
    assert ended.code == 0, ended.err
    facts = dict(line.rsplit("  ", 1) for line in ended.out.splitlines())
    assert {name.strip(): value.strip() for name, value in facts.items() if "duration" not in name} == {
        "enqueued": "60", "done": "50", "dead": "10", "failed at first": "30 (planned 30)", "retried": "40",
        "relay doctor": "clean",
    }  # fmt: skip
    assert "1 worker · queue mine" in ended.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_runs_until_it_is_told_to_end(demo: Demo, number: signal.Signals) -> None:
    process = demo.start(*FREE, "--output", "json")
    events = _events(process)
    server = next(events)["grpc"]
    assert next(event for event in events if event["event"] == "accounted")["doctor_clean"] is True
    assert len(demo.named("relay-worker")) == 2
    assert len(demo.named("relay-server")) == 1
    with Admin(server) as admin:
        assert [each.dead for each in admin.stats().queues] == [7], "there are dead letters to look at"
    process.send_signal(number)
    ended = finish(process)
    assert ended.code == 0, ended.err
    assert ended.value["accounted"] is True
    assert demo.processes() == []
    assert list(demo.folder.iterdir()) == []


def test_ctrl_c_in_the_middle_is_code_130_and_leaves_nothing(demo: Demo) -> None:
    process = demo.start(*FREE, "--jobs", "100000", "--output", "json")
    for event in _events(process):
        if event["event"] == "progress":
            break
    process.send_signal(signal.SIGINT)
    ended = finish(process)
    assert ended.code == 130, ended.err
    assert "interrupted before every job was accounted for" in ended.err
    assert ended.values[-1]["accounted"] is False
    assert demo.processes() == []
    assert list(demo.folder.iterdir()) == []


def test_children_end_with_a_demo_that_was_killed(demo: Demo) -> None:
    process = demo.start(*FREE, "--output", "json")
    next(_events(process))
    until(lambda: len(demo.named("relay-worker")) == 2, 30, what="two workers")
    process.kill()
    finish(process)
    until(lambda: not demo.processes(), 30, what="the end of all children")


def test_a_worker_may_die(demo: Demo) -> None:
    process = demo.start(*FREE, "--jobs", "3000", "--exit")
    until(lambda: len(demo.named("relay-worker")) == 2, 30, what="two workers")
    demo.named("relay-worker")[0].kill()
    ended = finish(process, within=90)
    assert ended.code == 0, ended.err
    assert "ended with code -9; the other workers go on" in ended.err
    assert demo.processes() == []


def test_a_dead_server_ends_it_with_the_log(demo: Demo) -> None:
    process = demo.start(*FREE, "--output", "json")
    next(_events(process))
    until(lambda: len(demo.named("relay-worker")) == 2, 30, what="two workers")
    demo.named("relay-server")[0].kill()
    ended = finish(process, within=90)
    assert ended.code in (1, 3)
    assert "logs are kept in" in ended.err
    assert demo.processes() == []
    assert [path.name for path in demo.folder.glob("relay-demo-*/relay-server.log")] == ["relay-server.log"]


@pytest.mark.parametrize("option", ["--listen", "--http"])
def test_a_busy_port_names_its_owner_and_the_option(demo: Demo, option: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = demo.run(*FREE, option, f"127.0.0.1:{port}", "--exit")
    assert (ended.code, ended.out) == (1, "")
    for part in (option, f"127.0.0.1:{port}", f"process {os.getpid()}"):
        assert part in ended.err
    assert "RELAY_" not in ended.err, "the demo passes no variable on"
    assert demo.processes() == []


def test_without_the_server_extra_it_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "redis" else found(name))
    relay: Relay = runner(monkeypatch, capsys)
    ended = relay("demo")
    assert (ended.code, ended.out) == (1, "")
    assert (
        "pip install 'relay-broker[server]' (in a checkout: pip install ./clients/python '.[server]')"
        in ended.err
    )


def test_with_a_server_it_only_loads_it(demo: Demo) -> None:
    process = demo.start(*FREE, "--jobs", "10", "--workers", "1", "--output", "json")
    events = _events(process)
    server = next(events)["grpc"]
    assert next(event for event in events if event["event"] == "accounted")["doctor_clean"] is True
    only = demo.run("--server", server, "--jobs", "40", "--queue", "else", "--output", "json")
    assert only.code == 0, only.err
    assert (only.values[-1]["enqueued"], only.values[-1]["accounted"]) == (40, False)
    both = demo.run("--server", server, "--jobs", "40", "--exit", "--output", "json")
    assert both.code == 0, both.err
    assert (both.values[-1]["done"], both.values[-1]["dead"]) == (39, 1)
    process.send_signal(signal.SIGINT)
    finish(process)
