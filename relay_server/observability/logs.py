"""Sets up logging: structured lines for people or as JSON, bounded and clean, without payloads, headers or secrets."""

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any, Literal, TextIO

import structlog

LogFormat = Literal["console", "json"]

VALUE_CHARS_MAX = 2000
TRACE_CHARS_MAX = 20_000
_DEPTH_MAX = 4
_ENTRIES_MAX = 50
_HIDDEN = "[hidden]"
# Fields whose values are never logged.
_SECRET = re.compile(r"payload|header|token|password|authorization|secret|cookie|credential", re.IGNORECASE)
# C0 without tab and newline, DEL, C1, and characters that reverse text or break lines in terminals and viewers.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_BREAKS = re.compile(r"[\t\n]")
_TRACES = ("exception", "stack")


def configure_logging(log_format: LogFormat, *, level: str = "INFO", stream: TextIO | None = None) -> None:
    """Sends structlog and the standard library's logging (uvicorn, grpc, asyncio) the same way, to stderr."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        clean,
    ]
    out = stream or sys.stderr
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(
            colors=out.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    logging.captureWarnings(capture=True)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def clean(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor: hides what must not be logged, strips control characters, bounds every value."""
    for name, value in event.items():
        if name in _TRACES:
            event[name] = _CONTROL.sub("", str(value))[:TRACE_CHARS_MAX]
        elif not name.startswith("_"):  # structlog's own, for its renderer
            event[name] = _HIDDEN if _SECRET.search(name) else _bounded(value, _DEPTH_MAX)
    return event


def _bounded(value: object, depth: int) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    if depth and isinstance(value, Mapping):
        pairs = list(value.items())[:_ENTRIES_MAX]
        return {
            _text(str(key)): _HIDDEN if _SECRET.search(str(key)) else _bounded(one, depth - 1)
            for key, one in pairs
        }
    if depth and isinstance(value, Sequence | set | frozenset) and not isinstance(value, str):
        return [_bounded(one, depth - 1) for one in list(value)[:_ENTRIES_MAX]]
    return _text(value if isinstance(value, str) else repr(value))


def _text(value: str) -> str:
    # Line breaks are stripped too, so that no value can look like a line of its own.
    cut = value if len(value) <= VALUE_CHARS_MAX else value[:VALUE_CHARS_MAX] + "…"
    return _BREAKS.sub(" ", _CONTROL.sub("", cut))
