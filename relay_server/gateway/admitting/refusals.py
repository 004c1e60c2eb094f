"""Refusals of the gateway, and the HTTP form of any google.rpc.Status: JSON, code and Retry-After."""

import json
import math
from typing import Any

from google.protobuf import json_format
from google.rpc import code_pb2, error_details_pb2, status_pb2
from starlette.responses import Response

DOMAIN = "relay.http"  # of reasons that only HTTP has; reasons of the contract have the domain "relay"

# google.rpc.Code: HTTP
_HTTP = {
    code_pb2.OK: 200,
    code_pb2.CANCELLED: 499,
    code_pb2.UNKNOWN: 500,
    code_pb2.INVALID_ARGUMENT: 400,
    code_pb2.DEADLINE_EXCEEDED: 504,
    code_pb2.NOT_FOUND: 404,
    code_pb2.ALREADY_EXISTS: 409,
    code_pb2.PERMISSION_DENIED: 403,
    code_pb2.UNAUTHENTICATED: 401,
    code_pb2.RESOURCE_EXHAUSTED: 429,
    code_pb2.FAILED_PRECONDITION: 400,
    code_pb2.ABORTED: 409,
    code_pb2.OUT_OF_RANGE: 400,
    code_pb2.UNIMPLEMENTED: 501,
    code_pb2.INTERNAL: 500,
    code_pb2.UNAVAILABLE: 503,
    code_pb2.DATA_LOSS: 500,
}
_BY_REASON = {"TOO_LARGE": 413}  # at 429 clients would send the same request again


class Refused(Exception):
    """Ends a request with a status. `http` replaces the HTTP code that follows from the status."""

    def __init__(
        self, status: status_pb2.Status, *, http: int | None = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(status.message)
        self.status = status
        self.http = http or http_code(status)
        self.headers = headers or {}


def refused(
    http: int, code: "code_pb2.Code.ValueType", reason: str, text: str, headers: dict[str, str] | None = None
) -> Refused:
    """A refusal that only HTTP knows, such as UNKNOWN_ROUTE."""
    status = status_pb2.Status(code=code, message=text)
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN))
    return Refused(status, http=http, headers=headers)


def http_code(status: status_pb2.Status) -> int:
    """The HTTP code of a status, by its reason if that has a code of its own, else by its gRPC code."""
    info = error_details_pb2.ErrorInfo()
    for detail in status.details:
        if detail.Unpack(info) and info.reason in _BY_REASON:
            return _BY_REASON[info.reason]
    return _HTTP.get(status.code, 500)


def status_json(status: status_pb2.Status) -> dict[str, Any]:
    """{"code", "message", "details"}; details of unknown types are left out."""
    shown: dict[str, Any] = {"code": status.code, "message": status.message}
    details = []
    for detail in status.details:
        try:
            details.append(json_format.MessageToDict(detail))
        except (TypeError, json_format.Error):
            continue
    if details:
        shown["details"] = details
    return shown


def response_of(refusal: Refused) -> Response:
    asking = {"www-authenticate": "Bearer"} if refusal.http == 401 else {}
    headers = {"content-type": "application/json", **asking, **retry_after(refusal.status), **refusal.headers}
    return Response(compact(status_json(refusal.status)), refusal.http, headers=headers)


def retry_after(status: status_pb2.Status) -> dict[str, str]:
    """The Retry-After header of a status with RetryInfo, in whole seconds rounded up; else nothing."""
    retry = error_details_pb2.RetryInfo()
    for detail in status.details:
        if detail.Unpack(retry):
            delay = retry.retry_delay
            return {"retry-after": str(max(1, math.ceil(delay.seconds + delay.nanos / 1e9)))}
    return {}


def compact(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
