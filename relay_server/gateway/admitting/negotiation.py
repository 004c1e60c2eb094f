"""Reads the headers by which a request chooses: media type of the answer, time limit, type of the body."""

import re
from collections.abc import Iterable

from google.rpc import code_pb2

from relay_server import errors
from relay_server.contract import status
from relay_server.gateway.admitting.refusals import Refused, refused

JSON, NDJSON, SSE = "application/json", "application/x-ndjson", "text/event-stream"

_GRPC_TIMEOUT = re.compile(r"([0-9]{1,8})([HMSmun])")
_UNITS_S = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_YEAR_S = 365 * 24 * 3600.0  # gRPC counts nanoseconds in 64 bits: a longer deadline would lie in the past
_SECONDS = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,9})?)s")
_KEY = re.compile(r'"?([\x21\x23-\x7e](?:[\x20\x21\x23-\x7e]*[\x21\x23-\x7e])?)"?')


def chosen(accept: str, offered: Iterable[str]) -> str:
    """The first of `offered` that the client accepts best. Raises Refused: 406."""
    offered = tuple(offered)
    ranges = [_range(part) for part in accept.split(",") if part.strip()] or [("*/*", 1.0)]

    def weight(media: str) -> float:
        wildcard = media.partition("/")[0] + "/*"
        for name in (media, wildcard, "*/*"):  # the most exact range counts
            for range_, quality in ranges:
                if range_ == name:
                    return quality
        return 0.0

    best = max(offered, key=weight)
    if weight(best) <= 0:
        text = f"this is answered as {' or '.join(offered)}, and Accept has none of them"
        raise refused(406, code_pb2.INVALID_ARGUMENT, "NOT_ACCEPTABLE", text)
    return best


def _range(part: str) -> tuple[str, float]:
    name, *parameters = (word.strip().lower() for word in part.split(";"))
    quality = 1.0
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                quality = float(parameter[2:])
            except ValueError:
                quality = 0.0
    return name, quality


def check_body_type(content_type: str | None, encoding: str, *, empty: bool) -> None:
    """Raises Refused, 415, unless the body is plain JSON: pages of other sites can send other types unasked."""
    if encoding not in {"", "identity"}:
        text = f"Content-Encoding {encoding[:40]!r} is not read; send the body as it is"
    elif content_type is None and empty:
        return
    else:
        media, _, parameters = (content_type or "").partition(";")
        charset = parameters.strip().lower().replace('"', "")
        if media.strip().lower() == JSON and charset in {"", "charset=utf-8"}:
            return
        text = f"the body must be {JSON} in UTF-8: send the header Content-Type: {JSON}"
    raise refused(415, code_pb2.INVALID_ARGUMENT, "UNSUPPORTED_MEDIA_TYPE", text)


def timeout_s(grpc_timeout: str | None, relay_timeout: str | None) -> float | None:
    """Seconds from Grpc-Timeout (`500m`, `10S`) or X-Relay-Timeout (`2.5s`), at most a year. Raises Refused, 400."""
    if grpc_timeout is not None and relay_timeout is not None:
        raise _invalid("X-Relay-Timeout", "cannot be given together with Grpc-Timeout")
    if grpc_timeout is not None:
        found = _GRPC_TIMEOUT.fullmatch(grpc_timeout)
        if found is None:
            raise _invalid("Grpc-Timeout", "must be up to 8 digits and a unit of H M S m u n, such as 10S")
        seconds = int(found[1]) * _UNITS_S[found[2]]
    elif relay_timeout is not None:
        found = _SECONDS.fullmatch(relay_timeout)
        if found is None:
            raise _invalid("X-Relay-Timeout", "must be seconds and an s, such as 2.5s")
        seconds = float(found[1])
    else:
        return None
    if seconds <= 0:
        raise _invalid(
            "Grpc-Timeout" if grpc_timeout is not None else "X-Relay-Timeout", "must be above zero"
        )
    return min(seconds, _YEAR_S)


def idempotency_key(value: str | None) -> str:
    """The key, with or without the quotes that a structured header has. Raises Refused, 400."""
    if value is None:
        return ""
    found = _KEY.fullmatch(value)
    if found is None or len(value) > 258:
        raise _invalid("Idempotency-Key", "must be 1 to 256 printable ASCII characters")
    return found[1]


def _invalid(header: str, text: str) -> Refused:
    return Refused(status.to_status(errors.InvalidField([(header, text)])))
