"""How messages, times and foreign text are printed."""

from datetime import UTC, datetime, timedelta

import pytest

from relay.v1 import admin_service_pb2 as admin_pb
from relay.v1 import job_pb2
from relay_cli.output import age, ago, clean, count, payload_text, plain, size, word


def test_a_message_is_plain_json_with_every_field() -> None:
    stats = admin_pb.QueueStats(queue="emails", ready=3)
    stats.oldest_ready_age.FromMilliseconds(1500)
    stats.counters.enqueued = 2**40
    document = plain(stats)
    assert document["ready"] == 3
    assert document["dead"] == 0
    assert document["paused"] is False
    assert document["oldest_ready_age_s"] == 1.5
    assert document["counters"]["enqueued"] == 2**40


def test_enums_times_bytes_and_unset_fields() -> None:
    job = job_pb2.JobSummary(state=job_pb2.JOB_STATE_DEAD, payload_preview=b'{"a": 1}')
    job.state_time.FromDatetime(datetime(2030, 1, 2, 3, 4, 5, 678000, tzinfo=UTC))
    document = plain(job)
    assert document["state"] == "dead"
    assert document["dead_reason"] is None
    assert document["state_time"] == "2030-01-02T03:04:05.678Z"
    assert document["enqueue_time"] is None
    assert document["payload_preview"] == '{"a": 1}'
    assert plain(job_pb2.Job(payload=b"\xff\x00"))["payload_base64"] == "/wA="
    assert plain(job_pb2.Job())["max_runtime_s"] is None
    assert plain(job_pb2.Job(headers={"a": "b"}))["headers"] == {"a": "b"}


def test_nested_and_repeated_messages() -> None:
    queue = admin_pb.Queue(name="q", settings=admin_pb.QueueSettings(rate=2.5))
    assert plain(queue)["settings"]["rate"] == 2.5
    assert plain(queue)["settings"]["burst"] is None
    found = plain(admin_pb.StatsResponse(queues=[admin_pb.QueueStats(queue="q")]))
    assert [each["queue"] for each in found["queues"]] == ["q"]


def test_an_enum_value_of_a_newer_server_is_its_number() -> None:
    job = job_pb2.JobSummary.FromString(b"\x20\x63")
    assert word(job, "state") == "99"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.25, "250ms"), (1.24, "1.2s"), (59, "59s"), (200, "3m20s"), (7200, "2h"), (187_200, "2d4h")],
)
def test_ages(seconds: float, text: str) -> None:
    assert age(timedelta(seconds=seconds)) == text


def test_ago_looks_both_ways() -> None:
    job = job_pb2.JobSummary()
    assert ago(job.state_time) == ""
    job.state_time.FromDatetime(datetime.now(UTC) - timedelta(minutes=5, seconds=2))
    assert ago(job.state_time) == "5m2s ago"
    job.state_time.FromDatetime(datetime.now(UTC) + timedelta(hours=3, seconds=30))
    assert ago(job.state_time) == "in 3h"


def test_text_from_elsewhere_cannot_move_the_cursor() -> None:
    assert clean("a\x1b[2Jb\r\x07") == "a\\x1b[2Jb\\r\\x07"
    assert clean("zwölf\tÄpfel\n") == "zwölf\tÄpfel\n"


@pytest.mark.parametrize(
    ("data", "total", "text"),
    [
        (b'{"a":\n 1}', 9, '{"a": 1}'),
        (b"abc", 300, "abc…"),
        ("ab€".encode()[:-1], 300, "ab…"),
        (b"\xff" * 20, 20, "(20 B of bytes)"),
        (b"\xff" * 256, 5000, "(4.9 KiB of bytes)"),
    ],
)
def test_payload_previews(data: bytes, total: int, text: str) -> None:
    assert payload_text(data, total) == text


def test_numbers_for_people() -> None:
    assert count(1234567) == "1 234 567"
    assert (size(12), size(2048), size(5 << 30)) == ("12 B", "2.0 KiB", "5.0 GiB")
