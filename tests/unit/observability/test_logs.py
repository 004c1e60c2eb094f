"""Log lines: one a line, bounded, and without what must not be in them."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from relay_server.observability.logs import LogFormat, clean, configure_logging


@pytest.fixture
def restored() -> Iterator[None]:
    """Puts the process's logging back."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


def lines(log_format: LogFormat, write: Any) -> list[str]:
    out = io.StringIO()
    configure_logging(log_format, stream=out)
    write()
    return out.getvalue().splitlines()


@pytest.mark.usefixtures("restored")
def test_json_lines_hold_their_fields_and_hide_secrets() -> None:
    def write() -> None:
        structlog.get_logger("relay").info(
            "claimed",
            queue="a",
            lease_token=b"12",
            payload="p",
            headers={"x": "y"},
            redis_password="z",
            jobs=3,
        )

    (line,) = lines("json", write)
    entry = json.loads(line)
    assert (entry["event"], entry["queue"], entry["jobs"], entry["level"]) == ("claimed", "a", 3, "info")
    assert {entry[name] for name in ("lease_token", "payload", "headers", "redis_password")} == {"[hidden]"}
    assert entry["timestamp"].endswith("Z")


@pytest.mark.usefixtures("restored")
def test_a_value_cannot_forge_a_line_or_colour_the_terminal() -> None:
    evil = "a\r\n2026 [info] forged\x1b[31m\x00\u202e\u2028"
    for log_format in ("json", "console"):
        (line,) = lines(log_format, lambda: structlog.get_logger().info("seen", worker=evil))
        assert "\x1b" not in line
        assert "\u202e" not in line


@pytest.mark.usefixtures("restored")
def test_the_standard_library_s_loggers_are_cleaned_too() -> None:
    (line,) = lines("json", lambda: logging.getLogger("uvicorn.error").warning("x\ny %s", "z" * 5000))
    entry = json.loads(line)
    assert entry["event"].startswith("x y zzz")
    assert len(entry["event"]) <= 2001
    assert (entry["level"], entry["logger"]) == ("warning", "uvicorn.error")


@pytest.mark.usefixtures("restored")
def test_a_traceback_is_kept() -> None:
    def write() -> None:
        try:
            int("\x1bboom")
        except ValueError:
            structlog.get_logger().exception("failed")

    (line,) = lines("json", write)
    trace = json.loads(line)["exception"]
    assert trace.startswith("Traceback")
    assert "\n" in trace
    assert "ValueError: invalid literal" in trace


def test_values_are_bounded_in_length_number_and_depth() -> None:
    deep: Any = "x"
    for _ in range(20):
        deep = {"in": deep}
    event = clean(
        None,
        "info",
        {
            "long": "x" * 9999,
            "many": list(range(999)),
            "deep": deep,
            "raw": b"abc",
            "inner": {"api_token": "t"},
        },
    )
    assert len(event["long"]) == 2001
    assert len(event["many"]) == 50
    assert len(str(event["deep"])) < 300
    assert event["raw"] == "<3 bytes>"
    assert event["inner"] == {"api_token": "[hidden]"}
