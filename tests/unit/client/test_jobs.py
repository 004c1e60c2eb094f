"""What a producer writes, and what is sent."""

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from relay_client.errors import TooLarge
from relay_client.jobs import PAYLOAD_BYTES_ALLOWED, JobSpec, RetryPolicy, as_spec, encode_payload, to_wire


class Colour(Enum):
    RED = "red"


@dataclass
class Inner:
    when: datetime
    colour: Colour


@dataclass
class Outer:
    id: UUID
    inner: list[Inner]


@pytest.mark.parametrize(
    ("payload", "given", "sent", "content_type"),
    [
        (b"\x00\xff", None, b"\x00\xff", "application/octet-stream"),
        (bytearray(b"ab"), "image/png", b"ab", "image/png"),
        (b"{}", "", b"{}", ""),
        ({"a": 1, "é": [True, None]}, None, '{"a":1,"é":[true,null]}'.encode(), ""),
        ("text", None, b'"text"', ""),
        ("text", "text/plain; charset=utf-8", b"text", "text/plain; charset=utf-8"),
        (3, None, b"3", ""),
        (None, None, b"null", ""),
        ([1], "application/vnd.x+json", b"[1]", "application/vnd.x+json"),
        (date(2026, 1, 2), None, b'"2026-01-02"', ""),
    ],
)
def test_payloads(payload: Any, given: str | None, sent: bytes, content_type: str) -> None:
    assert encode_payload(payload, given) == (sent, content_type)


def test_dataclasses_become_json_all_the_way_down() -> None:
    value = Outer(UUID(int=1), [Inner(datetime(2026, 1, 2, tzinfo=UTC), Colour.RED)])
    assert json.loads(encode_payload(value)[0]) == {
        "id": "00000000-0000-0000-0000-000000000001",
        "inner": [{"when": "2026-01-02T00:00:00+00:00", "colour": "red"}],
    }


@pytest.mark.parametrize("payload", [{1, 2}, object(), {"a": b"bytes"}, Outer])
def test_what_json_cannot_hold_is_refused(payload: Any) -> None:
    with pytest.raises(TypeError, match=r"^payload: .* is not JSON; convert it"):
        encode_payload(payload)


@pytest.mark.parametrize("payload", [float("nan"), "\ud800"])
def test_values_that_json_has_no_word_for_are_refused(payload: Any) -> None:
    with pytest.raises(ValueError, match=r"^payload: cannot be written as JSON"):
        encode_payload(payload)


def test_another_content_type_takes_bytes_or_text_only() -> None:
    with pytest.raises(TypeError, match="payload: dict cannot be sent as text/csv"):
        encode_payload({}, "text/csv")


def test_every_field_reaches_the_wire() -> None:
    wire = to_wire(
        JobSpec(
            type="t",
            payload=1,
            delay="5m",
            priority=-3,
            idempotency_key="k",
            idempotency_window="1h",
            headers={"traceparent": "00-x"},
            retry=RetryPolicy(max_attempts=3, initial_backoff="1s", max_backoff=60, multiplier=1.5),
            max_runtime=timedelta(seconds=30),
            expires_at=datetime(2026, 6, 1, tzinfo=UTC),
            job_id="given",
        )
    )
    assert wire.id == "given"
    assert (wire.type, wire.payload, wire.priority, wire.idempotency_key) == ("t", b"1", -3, "k")
    assert wire.delay.ToTimedelta() == timedelta(minutes=5)
    assert wire.idempotency_window.ToTimedelta() == timedelta(hours=1)
    assert dict(wire.headers) == {"traceparent": "00-x"}
    assert (wire.retry.max_attempts, wire.retry.multiplier) == (3, 1.5)
    assert wire.retry.initial_backoff.ToTimedelta() == timedelta(seconds=1)
    assert wire.retry.max_backoff.ToTimedelta() == timedelta(seconds=60)
    assert wire.max_runtime.ToTimedelta() == timedelta(seconds=30)
    assert wire.expires_at.ToDatetime(tzinfo=UTC) == datetime(2026, 6, 1, tzinfo=UTC)


def test_unset_fields_stay_unset_and_an_id_is_minted() -> None:
    wire = to_wire(JobSpec(type="t"))
    assert {descriptor.name for descriptor, _ in wire.ListFields()} == {"id", "type", "payload"}
    assert UUID(wire.id).version == 7


def test_run_at_is_exact_and_follows_the_zone_through_a_clock_change() -> None:
    summer = datetime(2026, 7, 1, 12, 0, 0, 123_457, tzinfo=ZoneInfo("Europe/Berlin"))
    assert to_wire(JobSpec(type="t", run_at=summer)).run_at.ToDatetime(tzinfo=UTC) == datetime(
        2026, 7, 1, 10, 0, 0, 123_457, tzinfo=UTC
    )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"delay": 1, "run_at": datetime(2026, 1, 1, tzinfo=UTC)}, "delay and run_at: give one"),
        ({"run_at": datetime(2026, 1, 1)}, "run_at: .* has no time zone"),  # noqa: DTZ001
        ({"expires_at": datetime(2026, 1, 1)}, "expires_at: .* has no time zone"),  # noqa: DTZ001
        ({"delay": "soon"}, "delay: 'soon' is not a length of time"),
        ({"idempotency_window": "1h"}, "idempotency_window: has no effect"),
        ({"retry": RetryPolicy(max_attempts=0)}, "retry.max_attempts: 0; must be 1 to 1000"),
        ({"retry": RetryPolicy(multiplier=0.5)}, "retry.multiplier: 0.5; must be"),
        ({"retry": RetryPolicy(max_backoff="x")}, "retry.max_backoff: 'x' is not"),
    ],
)
def test_what_cannot_be_sent_names_the_field(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        to_wire(JobSpec(type="t", **fields))


def test_jobs_may_be_written_three_ways() -> None:
    assert as_spec(("t", 1)) == as_spec({"type": "t", "payload": 1}) == as_spec(JobSpec(type="t", payload=1))
    with pytest.raises(TypeError, match=r"^job: str; give a JobSpec"):
        as_spec("t")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("says", "job"),
    [
        (
            "payload: must be at most 3145728 bytes, has 3145729; store it elsewhere",
            JobSpec(type="t", payload=bytes(PAYLOAD_BYTES_ALLOWED + 1)),
        ),
        ("job: must be at most 4193280 bytes, has 41943", JobSpec(type="t", headers={"h": "x" * (4 << 20)})),
    ],
)
def test_what_no_server_takes_is_refused_before_it_is_sent(says: str, job: JobSpec) -> None:
    with pytest.raises(TooLarge, match=f"^{says}") as refused:
        to_wire(job)
    assert refused.value.reason == "TOO_LARGE"


def test_a_payload_of_the_largest_limit_a_server_can_have_is_sent() -> None:
    assert (
        len(to_wire(JobSpec(type="t", payload=bytes(PAYLOAD_BYTES_ALLOWED))).payload) == PAYLOAD_BYTES_ALLOWED
    )
