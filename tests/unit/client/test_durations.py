"""Durations as people write them."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_client.durations import DurationLike, format_duration, parse_duration, to_proto


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("5m", 300.0),
        ("1h30m", 5400.0),
        ("250ms", 0.25),
        ("1.5s", 1.5),
        ("2d", 172_800.0),
        ("10us", 0.00001),
        (" 30s ", 30.0),
        ("45", 45.0),
        (0, 0.0),
        (2, 2.0),
        (0.5, 0.5),
        (timedelta(minutes=2), 120.0),
    ],
)
def test_what_is_understood(written: DurationLike, seconds: float) -> None:
    assert parse_duration(written).total_seconds() == pytest.approx(seconds, abs=1e-9)


@pytest.mark.parametrize(
    "written",
    [
        "",
        "m",
        "5 m",
        "5x",
        "m5",
        "1h-5m",
        "-5m",
        "1h5",
        "5m!",
        -1,
        timedelta(seconds=-1),
        float("inf"),
        float("nan"),
        1e300,
    ],
)
def test_a_refusal_names_the_field(written: DurationLike) -> None:
    with pytest.raises(ValueError, match=r"^delay: .*"):
        parse_duration(written, "delay")


@pytest.mark.parametrize("written", [None, True, b"5m", [5]])
def test_other_types_are_refused(written: object) -> None:
    with pytest.raises(TypeError, match=r"^max_runtime: .* is not a length of time"):
        parse_duration(written, "max_runtime")  # type: ignore[arg-type]


@given(st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=36_500)))
def test_printing_and_parsing_agree(value: timedelta) -> None:
    # 36 500 days in microseconds is near the precision of a float.
    assert abs(parse_duration(format_duration(value)) - value) <= timedelta(microseconds=1)


@given(st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=366)))
def test_the_wire_form_is_exact(value: timedelta) -> None:
    assert to_proto(value).ToTimedelta() == value
