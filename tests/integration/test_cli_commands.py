"""Every command of `relay` against a real server: what it does, what it prints, and the shape of its JSON."""

import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from relay.v1 import job_pb2, queue_service_pb2, queue_service_pb2_grpc
from tests.support.cli import Ended, Relay, finish, runner, start_relay

ID = "01a20a20-0000-7000-8000-000000000001"
COUNTERS = {
    "enqueued", "deduplicated", "claimed", "acked", "retried", "released", "expired", "dead", "requeued", "purged",
    "cancelled", "stale", "promoted", "orphaned", "clock_steps", "unsent",
}  # fmt: skip
STATS = {"queue", "ready", "delayed", "inflight", "dead", "oldest_ready_age_s", "paused", "counters"}
SUMMARY = {
    "id", "queue", "type", "state", "priority", "attempt", "max_attempts", "expirations", "state_time",
    "enqueue_time", "worker_id", "dead_reason", "error_type", "error_message", "payload_preview", "payload_bytes",
    "content_type", "cancelled", "progress", "progress_note",
}  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a `relay-server` of this module's own, on its embedded Redis."""
    folder = tmp_path_factory.mktemp("relay")
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                *(sys.executable, "-c", "from relay_server.cli import main; main()"),
                *("--listen", "127.0.0.1:0", "--http", "off", "--data-dir", str(folder / "data")),
            ],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={name: value for name, value in os.environ.items() if not name.startswith("RELAY_")},
        )
    try:
        yield _ready(process, log)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _ready(process: "subprocess.Popen[bytes]", log: Path) -> str:
    deadline = time.monotonic() + 30
    while "relay-server ready" not in log.read_text():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.02)
    return log.read_text().split("grpc=", 1)[1].split()[0]


@pytest.fixture
def relay(server: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Relay:
    """Runs `relay ARGUMENT...` against the server."""
    run = runner(monkeypatch, capsys)
    monkeypatch.setenv("RELAY_SERVER", server)
    return run


@pytest.fixture
def queue() -> str:
    """A name no other test has."""
    return f"q-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def bury(server: str, relay: Relay, queue: str) -> Callable[[int], None]:
    """Makes dead letters in the test's queue."""

    def bury(jobs: int) -> None:
        assert relay("enqueue", queue, "broken", "--count", str(jobs)).code == 0
        with grpc.insecure_channel(server) as channel:
            stub = queue_service_pb2_grpc.QueueServiceStub(channel)
            stream = stub.Claim(
                queue_service_pb2.ClaimRequest(
                    queues=[queue_service_pb2.QueueWeight(queue=queue)],
                    worker_id="digger",
                    max_in_flight=jobs,
                )
            )
            buried = 0
            for frame in stream:
                if not frame.HasField("jobs"):
                    continue
                nacks = [
                    queue_service_pb2.NackedJob(
                        queue=queue,
                        job_id=each.job.id,
                        lease_token=frame.jobs.lease_token,
                        kind=queue_service_pb2.NACK_KIND_DEAD,
                        error=job_pb2.JobError(type="Boom", message="it is \x1b[31mbroken"),
                    )
                    for each in frame.jobs.jobs
                ]
                stub.Nack(queue_service_pb2.NackRequest(jobs=nacks))
                buried += len(nacks)
                if buried == jobs:
                    break
            stream.cancel()

    return bury


def test_enqueue_with_every_option_and_show(relay: Relay, queue: str) -> None:
    made = relay(
        *("enqueue", queue, "welcome", '{"to": "a@example.com"}', "--delay", "1h", "--priority", "2"),
        *("--key", "k", "--key-window", "2h", "--header", "traceparent=00-a=b", "--max-attempts", "5"),
        *("--backoff", "2s", "--max-runtime", "30s", "--expires-at", "2027-01-01T00:00:00Z"),
        *("--id", ID, "--output", "json"),
    )  # fmt: skip
    assert made.value == {"queue": queue, "id": ID, "deduplicated": False}
    shown = relay("jobs", "show", queue, ID, "--output", "json").value
    assert set(shown) == {"summary", "job", "failures", "epoch"}
    assert set(shown["summary"]) == SUMMARY
    assert (shown["summary"]["state"], shown["summary"]["priority"]) == ("delayed", 2)
    job = shown["job"]
    assert job["payload"] == '{"to": "a@example.com"}'
    assert job["headers"] == {"traceparent": "00-a=b"}
    assert (job["retry"]["max_attempts"], job["retry"]["initial_backoff_s"]) == (5, 2.0)
    assert (job["max_runtime_s"], job["expires_at"]) == (30.0, "2027-01-01T00:00:00.000Z")
    assert (job["idempotency_key"], job["idempotency_window_s"]) == ("k", 7200.0)
    again = relay("enqueue", queue, "welcome", '{"to": "a@example.com"}', "--key", "k")
    assert (again.out, again.code) == (f"{ID}\n", 0)
    assert "the key is taken" in again.err
    assert re.search(r"state +delayed, in (1h|59m)", relay("jobs", "show", queue, ID).out)


def test_payloads_from_files_and_stdin_are_sent_byte_for_byte(
    relay: Relay, queue: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "payload").write_bytes(b'{"big": 12345678901234567890.10}')
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\xff\x00binary")))
    one = relay("enqueue", queue, "t", f"@{tmp_path / 'payload'}").out.strip()
    two = relay("enqueue", queue, "t", "-", "--content-type", "application/octet-stream").out.strip()
    shown = [relay("jobs", "show", queue, job, "--output", "json").value["job"] for job in (one, two)]
    assert shown[0]["payload"] == '{"big": 12345678901234567890.10}'
    assert shown[1]["payload_base64"] == "/wBiaW5hcnk="


def test_many_jobs_from_lines(relay: Relay, queue: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [
        '{"type": "a", "payload": [1], "priority": 3}',
        "",
        '{"type": "b", "delay": "10m", "retry": {"max_attempts": 2}}',
    ]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(lines)))
    assert relay("enqueue", queue, "--ndjson").out == f"added 2 jobs to {queue}\n"
    monkeypatch.setattr("sys.stdin", io.StringIO('{"n": 1}\n{"n": 2}\n'))
    done = relay("enqueue", queue, "c", "--ndjson", "--output", "json").values[-1]
    assert done == {"event": "done", "queue": queue, "added": 2, "deduplicated": 0, "refused": 0}
    ready = relay("jobs", "list", queue, "--output", "json").value
    assert [job["type"] for job in ready["jobs"]] == ["a", "c", "c"]
    assert ready["total"] == 3
    (delayed,) = relay("jobs", "list", queue, "--state", "delayed", "--output", "json").value["jobs"]
    assert (delayed["type"], delayed["max_attempts"]) == ("b", 2)


def test_a_bad_line_or_a_refused_job_hides_nothing(
    relay: Relay, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO('{"type": "a"}\n{"type": "b"}\nnope\n{"type": "c"}\n'))
    ended = relay("enqueue", queue, "--ndjson")
    assert (ended.code, ended.out) == (2, f"added 2 jobs to {queue}\n")
    assert "line 3 of stdin is not JSON" in ended.err
    monkeypatch.setattr("sys.stdin", io.StringIO('{"type": "a"}\n{"type": "b", "priority": 77}\n'))
    ended = relay("enqueue", queue, "--ndjson")
    assert (ended.code, ended.out) == (2, f"added 1 job to {queue}\n")
    assert "job 2 was refused: job.priority: must be -9 to 9, is 77" in ended.err
    monkeypatch.setattr("sys.stdin", io.StringIO('{"type": "a", "prio": 1}\n'))
    assert "line 1 of stdin" in relay("enqueue", queue, "--ndjson").err


def test_count_adds_so_many(relay: Relay, queue: str) -> None:
    assert relay("enqueue", queue, "t", "--count", "1234").out == f"added 1 234 jobs to {queue}\n"
    assert relay("queues", "--prefix", queue, "--output", "json").value["queues"][0]["stats"]["ready"] == 1234
    listed = relay("jobs", "list", queue, "--limit", "700")
    assert len(listed.out.splitlines()) == 701
    assert "700 of 1 234 ready jobs" in listed.err


def test_queues_pause_resume_and_limits(relay: Relay, queue: str) -> None:
    assert relay("enqueue", queue, "t").code == 0
    assert relay("pause", queue).out == f"{queue} is paused\n"
    assert relay("limit", queue, "--rate", "100", "--burst", "10", "--max-jobs", "5").code == 0
    (found,) = relay("queues", "--prefix", queue, "--output", "json").value["queues"]
    assert set(found) == {"name", "paused", "settings", "stats"}
    assert set(found["settings"]) == {"rate", "burst", "priority_step_s", "max_jobs", "max_expirations"}
    assert set(found["stats"]) == STATS
    assert set(found["stats"]["counters"]) == COUNTERS
    settings = found["settings"]
    assert (found["paused"], settings["rate"], settings["burst"], settings["max_jobs"]) == (
        True,
        100.0,
        10,
        5,
    )
    shown = relay("queues", "--prefix", queue).out.splitlines()[1]
    assert shown.startswith(f"{queue} ")
    assert shown.endswith("paused  100/s, burst 10")
    full = relay("enqueue", queue, "t", "--count", "10")
    assert (full.code, full.out) == (1, f"added 4 jobs to {queue}\n")
    assert "QUEUE_FULL" in full.err
    assert "no rate limit and at most 5 jobs" in relay("limit", queue, "--off").out
    assert "no rate limit" in relay("limit", queue).out
    assert relay("limit", queue, "--priority-step", "90s", "--max-expirations", "7").code == 0
    assert relay("limit", queue).out == (
        f"{queue} has no rate limit and at most 5 jobs; a point of priority is 1m30s of head start; "
        "a job is dead after 7 lost leases\n"
    )
    assert relay("resume", queue, "--output", "json").value["paused"] is False


def test_run_and_cancel(relay: Relay, queue: str) -> None:
    job = relay("enqueue", queue, "t", "--delay", "1h").out.strip()
    assert relay("jobs", "run", queue, job, "--output", "json").value == {
        "queue": queue,
        "id": job,
        "state": "ready",
    }
    again = relay("jobs", "run", queue, job)
    assert again.code == 1
    assert "is not delayed" in again.err
    relay("enqueue", queue, "keep", "--count", "3")
    looked = relay("jobs", "cancel", queue, "--type", "t", "--dry-run", "--output", "json").value
    assert (looked["event"], looked["matched"], [each["id"] for each in looked["sample"]]) == (
        "preview",
        1,
        [job],
    )
    assert relay("jobs", "cancel", queue, job, "--yes").out.endswith("cancelled 1 job\n")
    assert relay("jobs", "show", queue, job).code == 4
    assert relay("jobs", "cancel", queue, "--all", "--yes", "--output", "json").values[-1] == {
        "event": "done", "cancelled": 3,
    }  # fmt: skip


def test_dead_letters(relay: Relay, queue: str, bury: Callable[[int], None]) -> None:
    bury(12)
    found = relay("dead", "list", queue, "--limit", "5", "--output", "json").value
    assert (len(found["jobs"]), found["total"]) == (5, 12)
    assert set(found["jobs"][0]) == SUMMARY
    assert (found["jobs"][0]["dead_reason"], found["jobs"][0]["error_type"]) == ("rejected", "Boom")
    table = relay("dead", "list", queue, "--error", "Boom", "--since", "1h")
    assert len(table.out.splitlines()) == 13
    assert "\x1b" not in table.out
    assert relay("dead", "list", queue, "--until", "1h", "--output", "json").value["jobs"] == []
    grouped = relay("dead", "group", queue, "--output", "json").value
    assert (grouped["counted"], grouped["total"], grouped["groups"][0]["count"]) == (12, 12, 12)
    assert "Boom" in relay("dead", "group", queue).out
    shown = relay("jobs", "show", queue, found["jobs"][0]["id"])
    assert "dead (rejected)" in shown.out
    assert "it is \\x1b[31mbroken" in shown.out

    preview, done = relay("dead", "requeue", queue, "--type", "broken", "--yes", "--output", "json").values
    assert (preview["matched"], len(preview["sample"]), done["requeued"]) == (12, 10, 12)
    assert "nothing to purge: 0 of 0 dead letters match" in relay("dead", "purge", queue, "--all").out


def test_dead_letters_are_purged_by_id(relay: Relay, queue: str, bury: Callable[[int], None]) -> None:
    bury(3)
    ids = [job["id"] for job in relay("dead", "list", queue, "--output", "json").value["jobs"]]
    assert relay("dead", "purge", queue, *ids[:2], "--yes").out.endswith("purged 2 dead letters\n")
    (left,) = relay("dead", "list", queue, "--output", "json").value["jobs"]
    assert left["id"] == ids[2]


def test_purge_queue_and_forget(relay: Relay, queue: str, bury: Callable[[int], None]) -> None:
    bury(1)
    relay("enqueue", queue, "t", "--count", "700")
    relay("enqueue", queue, "t", "--delay", "1h")
    preview, *_, done = relay("purge-queue", queue, "--yes", "--output", "json").values
    assert (preview["matched"], done) == (701, {"event": "done", "purged": 701})
    kept = relay("purge-queue", queue, "--yes", "--forget")
    assert kept.code == 1, "a dead letter is left"
    relay("dead", "purge", queue, "--all", "--yes")
    assert relay("purge-queue", queue, "--yes", "--forget").out.endswith(f"{queue} is forgotten\n")
    assert relay("pause", queue).code == 4


def test_workers_are_listed(relay: Relay, server: str, queue: str) -> None:
    with grpc.insecure_channel(server) as channel:
        stream = queue_service_pb2_grpc.QueueServiceStub(channel).Claim(
            queue_service_pb2.ClaimRequest(
                queues=[queue_service_pb2.QueueWeight(queue=queue, weight=3)],
                worker_id="me:1",
                max_in_flight=7,
            )
        )
        assert next(stream).HasField("started")
        workers = _eventually(lambda: _workers_of(relay, queue))
        stream.cancel()
    assert set(workers[0]) == {
        "session_id", "worker_id", "queues", "max_in_flight", "in_flight", "client_version", "connect_time",
        "seen_time", "server_id", "connected",
    }  # fmt: skip
    assert (workers[0]["worker_id"], workers[0]["max_in_flight"]) == ("me:1", 7)
    assert f"{queue}=3" in relay("workers").out


def _workers_of(relay: Relay, queue: str) -> list[dict[str, object]]:
    found = relay("workers", "--output", "json").value["workers"]
    return [each for each in found if {"queue": queue, "weight": 3} in each["queues"]]


def _eventually(look: Callable[[], list[dict[str, object]]]) -> list[dict[str, object]]:
    deadline = time.monotonic() + 10
    while not (found := look()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def test_top_doctor_and_bench(relay: Relay, queue: str) -> None:
    relay("enqueue", queue, "t", "--count", "25")
    view = relay("top", "--once", "--queue", queue, "--output", "json").value
    assert set(view) == {"queues", "time"}
    assert set(view["queues"][0]) == STATS | {"rates"}
    assert set(view["queues"][0]["rates"]) == {"enqueued", "acked", "failed"}
    assert queue in relay("top", "--once").out

    clean = relay("doctor", "--queue", queue)
    assert (clean.code, clean.out.splitlines()[-1]) == (0, "nothing is wrong")
    assert "25 jobs in 1 queue" in clean.out
    report = relay("doctor", "--output", "json").values[-1]
    assert report["clean"] is True
    assert report["server"]["store"]["durability"] == "always"
    assert {"queue": queue, "checked": 25} in report["queues"]

    measured = relay(
        "bench", "--jobs", "1500", "--streams", "3", "--window", "100", "--output", "json"
    ).values[-1]
    assert (measured["exact"], measured["distinct"], measured["repeated"]) == (True, 1500, 0)
    assert [phase["name"] for phase in measured["phases"]] == ["enqueue", "drain"]
    assert all(phase["jobs"] == 1500 and phase["per_second"] > 0 for phase in measured["phases"])
    assert "1 500 distinct completions of 1 500 jobs" in relay("bench", "--jobs", "1500").out
    left = relay("queues", "--prefix", "relay-bench-", "--output", "json").value
    assert left == {"queues": []}, "a measurement leaves no queue behind"


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


def test_what_only_python_takes_for_json_is_refused(relay: Relay, queue: str) -> None:
    ended = relay("enqueue", queue, "any", '{"a": NaN}')
    assert (ended.code, ended.out) == (2, "")
    assert "NaN is no value of JSON" in ended.err
