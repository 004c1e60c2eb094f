"""What commands say of bad input, and on terminals and disks that are not as they should be."""

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.cli import Ended, Relay, finish, start_relay

ID = "01a20a20-0000-7000-8000-000000000001"


BAD: list[tuple[list[str], int, str]] = [
    (["enqueue", "bad name", "t"], 2, "queue: must be 1 to 128 of"),
    (["enqueue", "..", "t"], 2, "queue: must be"),
    (["enqueue", "q", "x" * 129], 2, "at most 128 bytes, has 129"),
    (["enqueue", "q", "t", "--priority", "10"], 2, "priority: must be -9 to 9, is 10"),
    (["enqueue", "q", "t", "--delay", "400d"], 2, "delay: must be 0 s to 365 d"),
    (["enqueue", "q", "t", "--id", "not-a-uuid"], 2, "id: must be a UUID"),
    (["enqueue", "q", "t", "--max-attempts", "1001"], 2, "max_attempts: must be"),
    (["enqueue", "q", "t", "--header", "a=" + "b" * 9000], 2, "headers"),
    (["jobs", "list", "never-seen"], 4, "no queue never-seen has been seen"),
    (["jobs", "show", "never-seen", ID], 4, "never-seen"),
    (["jobs", "show", "q", "not-a-uuid"], 2, "job_id: must be a UUID"),
    (["jobs", "run", "never-seen", ID], 4, "never-seen"),
    (["dead", "list", "never-seen"], 4, "never-seen"),
    (["dead", "requeue", "bad name", "--all", "--yes"], 2, "queue: must be"),
    (["pause", "never-seen"], 4, "`relay queues` lists them"),
    (["limit", "q", "--rate", "2000000"], 2, "rate: must be 0 to 1e+06"),
    (["limit", "q", "--max-expirations", "0"], 2, "max_expirations: must be 1 to 1000"),
    (["limit", "q", "--priority-step", "8d"], 2, "priority_step: must be"),
    (["limit", "q", "--priority-step", "soon"], 2, "--priority-step"),
    (["limit", "never-seen"], 4, "never-seen"),
    (["purge-queue", "never-seen", "--yes"], 4, "never-seen"),
    (["doctor", "--queue", "never-seen"], 4, "never-seen"),
]


@pytest.mark.parametrize(("arguments", "code", "says"), BAD, ids=lambda value: str(value)[:40])
def test_a_tour_of_bad_input(relay: Relay, arguments: list[str], code: int, says: str) -> None:
    ended: Ended = relay(*arguments)
    assert (ended.code, ended.out) == (code, ""), ended.err
    assert says in ended.err
    assert ended.err.count("\n") == 1, "one line"
    assert "Traceback" not in ended.err


def test_a_payload_over_the_limit_says_the_limit(relay: Relay, queue: str) -> None:
    ended = relay("enqueue", queue, "t", json.dumps("x" * (1 << 20)))
    assert ended.code in (1, 2)
    assert "1048576 bytes" in ended.err


def test_top_on_a_terminal_ends_with_ctrl_c(server: str) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "relay_cli.main", "top", "--server", server],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "NO_COLOR": "1"},
        # A suite that a shell runs in the background ignores SIGINT, and so would what it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    os.close(theirs)
    try:
        shown = b""
        while b"QUEUE" not in shown:
            shown += os.read(ours, 4096)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert b"Ctrl-C ends" in shown
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        os.close(ours)


def test_a_terminal_that_lacks_letters_shows_them_escaped(server: str, relay: Relay, queue: str) -> None:
    assert relay("enqueue", queue, "grüße", '"日本"', "--delay", "1h").code == 0
    narrow = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    listing = ("--server", server, "jobs", "list", queue, "--state", "delayed")
    ended = finish(start_relay(*listing, **narrow))
    assert (ended.code, ended.err) == (0, "")
    assert "gr\\xfc\\xdfe" in ended.out
    (job,) = finish(start_relay("--output", "json", *listing, **narrow)).value["jobs"]
    assert (job["type"], job["payload_preview"]) == ("grüße", '"日本"')


def test_a_full_disk_is_one_line(server: str) -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "relay_cli.main", "--server", server, "queues"]
        ended = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
    assert ended.returncode == 1
    assert ended.stderr == "relay: the output cannot be written: No space left on device\n"


def test_json_that_only_python_accepts_is_refused(relay: Relay, queue: str) -> None:
    ended = relay("enqueue", queue, "any", '{"a": NaN}')
    assert (ended.code, ended.out) == (2, "")
    assert "NaN is no value of JSON" in ended.err
