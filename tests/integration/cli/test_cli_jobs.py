"""Commands about jobs and dead letters: what they do, what they print, and the shape of their JSON."""

import io
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.cli import Relay

ID = "01a20a20-0000-7000-8000-000000000001"
SUMMARY = {
    "id", "queue", "type", "state", "priority", "attempt", "max_attempts", "expirations", "state_time",
    "enqueue_time", "worker_id", "dead_reason", "error_type", "error_message", "payload_preview", "payload_bytes",
    "content_type", "cancelled", "progress", "progress_note",
}  # fmt: skip


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
