"""The trace context of a call, for jobs without one of their own: jobs enqueued over HTTP or without an SDK."""

import re
from collections.abc import Iterable, Mapping, MutableMapping

from relay_server import limits

# W3C Trace Context. Later versions may add fields; an all-zero id is not valid.
_PARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-[\x20-\x7e]*)?"
)
_STATE_BYTES_MAX = 512
_NONE: Mapping[str, str] = {}


def trace_context(metadata: Iterable[tuple[str, str | bytes]]) -> Mapping[str, str]:
    """`traceparent` and `tracestate` of a call's metadata; empty without a valid traceparent."""
    parent = state = None
    for name, value in metadata:
        if name == "traceparent":
            parent = value
        elif name == "tracestate":
            state = value
    if not isinstance(parent, str) or len(parent) > _STATE_BYTES_MAX or not _PARENT.fullmatch(parent):
        return _NONE
    if not isinstance(state, str) or not 0 < len(state) <= _STATE_BYTES_MAX:
        return {"traceparent": parent}
    return {"traceparent": parent, "tracestate": state}


def carry(headers: MutableMapping[str, str], found: Mapping[str, str]) -> None:
    """Adds a trace context to a job's headers, unless they have one. Left out when there is no room."""
    if not found or "traceparent" in headers:
        return
    size = sum(len(name.encode()) + len(value.encode()) for name, value in (*headers.items(), *found.items()))
    if len(headers) + len(found) <= limits.HEADERS_MAX and size <= limits.HEADERS_BYTES_MAX:
        headers.update(found)
