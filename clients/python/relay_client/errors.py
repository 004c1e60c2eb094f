"""The typed errors: the only place that turns a gRPC status or an ErrorReason into a Python exception."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from relay.v1 import errors_pb2

DOMAIN: Final = "relay"
_DETAILS_KEY: Final = "grpc-status-details-bin"
_PREFIX: Final = "ERROR_REASON_"


class Violation(NamedTuple):
    """One field that was refused: its path in the request, and what is wrong with it."""

    field: str
    description: str


class RelayError(Exception):
    """A call, or one job of a batch, that was refused.

    code        the gRPC status code
    reason      name of the ErrorReason without its prefix ("QUEUE_FULL"); empty when the server gave none
    metadata    what the server added to the reason
    retry_after seconds after which the server asks to be called again; None when it did not say
    violations  the refused fields, when the reason is INVALID_FIELD
    """

    def __init__(
        self,
        message: str,
        *,
        code: grpc.StatusCode = grpc.StatusCode.UNKNOWN,
        reason: str = "",
        metadata: Mapping[str, str] = MappingProxyType({}),
        retry_after: float | None = None,
        violations: Iterable[Violation] = (),
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.metadata = dict(metadata)
        self.retry_after = retry_after
        self.violations = tuple(violations)


class InvalidField(RelayError):
    """A field is missing, malformed or out of range; `violations` names each one."""


class QueueNotFound(RelayError):
    """No queue of this name has ever been seen."""


class JobNotFound(RelayError):
    """The queue holds no job with this id: it never existed, or it is finished."""


class IdempotencyMismatch(RelayError):
    """The idempotency key is held by a job with another type, payload or content type."""

    @property
    def job_id(self) -> str:
        """Id of the job that holds the key."""
        return self.metadata.get("job_id", "")


class QueueFull(RelayError):
    """The queue holds as many jobs as its max_jobs setting allows."""


class TooLarge(RelayError):
    """One payload, or one request, is over its size limit in bytes."""


class QuotaExceeded(RelayError):
    """The call would make a new queue, and the caller, or the store, has as many as it may; waiting does not help."""


class Overloaded(RelayError):
    """The server is at its limit of streams or of queued work; come back after `retry_after`."""


class Unavailable(RelayError):
    """No server answered before the deadline. After a call that may have been applied, repeat it with the same ids."""


class StoreUnavailable(Unavailable):
    """Redis is down, loading, read-only or cannot write its log."""


class Draining(Unavailable):
    """The server is shutting down."""


class StoreOutOfMemory(RelayError):
    """Redis has no memory left for new jobs; finishing jobs still works."""


class WrongState(RelayError):
    """The job is not in a state that allows the call."""


class Unauthenticated(RelayError):
    """No credentials, or credentials that are not valid."""


class PermissionDenied(RelayError):
    """The credentials are valid and do not allow this call on this queue."""


class Internal(RelayError):
    """A defect in the server; `metadata["request_id"]` finds it in the server's log."""


class DeadlineExceeded(RelayError):
    """No answer in time. Whether the call was applied is not known; repeating it with the same job id is safe."""


_R = errors_pb2.ErrorReason
_C = grpc.StatusCode

# One class and one status code for each reason of the contract; a test compares this with the enum.
BY_REASON: Final[Mapping[str, tuple[type[RelayError], grpc.StatusCode]]] = {
    "INVALID_FIELD": (InvalidField, _C.INVALID_ARGUMENT),
    "QUEUE_NOT_FOUND": (QueueNotFound, _C.NOT_FOUND),
    "JOB_NOT_FOUND": (JobNotFound, _C.NOT_FOUND),
    "IDEMPOTENCY_MISMATCH": (IdempotencyMismatch, _C.ALREADY_EXISTS),
    "QUEUE_FULL": (QueueFull, _C.RESOURCE_EXHAUSTED),
    "TOO_LARGE": (TooLarge, _C.RESOURCE_EXHAUSTED),
    "QUOTA_EXCEEDED": (QuotaExceeded, _C.RESOURCE_EXHAUSTED),
    "OVERLOADED": (Overloaded, _C.RESOURCE_EXHAUSTED),
    "STORE_UNAVAILABLE": (StoreUnavailable, _C.UNAVAILABLE),
    "STORE_OUT_OF_MEMORY": (StoreOutOfMemory, _C.RESOURCE_EXHAUSTED),
    "WRONG_STATE": (WrongState, _C.FAILED_PRECONDITION),
    "UNAUTHENTICATED": (Unauthenticated, _C.UNAUTHENTICATED),
    "PERMISSION_DENIED": (PermissionDenied, _C.PERMISSION_DENIED),
    "DRAINING": (Draining, _C.UNAVAILABLE),
    "INTERNAL": (Internal, _C.INTERNAL),
}

# For statuses that carry no reason: made by gRPC itself or by a proxy on the way.
_BY_CODE: Final[Mapping[grpc.StatusCode, type[RelayError]]] = {
    _C.UNAVAILABLE: Unavailable,
    # A server that is stopping cancels calls that reach it late. A client that was closed says so itself.
    _C.CANCELLED: Unavailable,
    _C.DEADLINE_EXCEEDED: DeadlineExceeded,
    _C.UNAUTHENTICATED: Unauthenticated,
    _C.PERMISSION_DENIED: PermissionDenied,
}


def from_rpc_error(error: grpc.RpcError) -> RelayError:
    """The typed error for what a sync or an asyncio gRPC call raised."""
    call: grpc.Call = error  # type: ignore[assignment]  # both stacks raise an error that is the call as well
    code = call.code() or _C.UNKNOWN
    message = call.details() or code.name
    return from_status(code, message, _status_details(call.trailing_metadata()))


def from_status(code: grpc.StatusCode, message: str, status: status_pb2.Status | None = None) -> RelayError:
    """The typed error for a status code, its message and, when there were any, its google.rpc details."""
    reason, metadata = "", {}
    retry_after: float | None = None
    violations: list[Violation] = []
    for detail in status.details if status is not None else ():
        info, retry, bad = (
            error_details_pb2.ErrorInfo(),
            error_details_pb2.RetryInfo(),
            error_details_pb2.BadRequest(),
        )
        if detail.Unpack(info) and info.domain == DOMAIN:
            reason, metadata = info.reason, dict(info.metadata)
        elif detail.Unpack(retry):
            retry_after = retry.retry_delay.ToTimedelta().total_seconds()
        elif detail.Unpack(bad):
            violations += [Violation(v.field, v.description) for v in bad.field_violations]
    kind = BY_REASON[reason][0] if reason in BY_REASON else _by_code(code, message)
    return kind(
        message, code=code, reason=reason, metadata=metadata, retry_after=retry_after, violations=violations
    )


def from_reason(value: int, message: str, metadata: Mapping[str, str]) -> RelayError:
    """The typed error for the ErrorReason of one job in a batch; RelayError for one this version does not know."""
    name = _R.Name(errors_pb2.ErrorReason.ValueType(value)) if value in _R.values() else f"{_PREFIX}{value}"
    reason = name.removeprefix(_PREFIX)
    kind, code = BY_REASON.get(reason, (RelayError, _C.UNKNOWN))
    return kind(message, code=code, reason=reason, metadata=metadata)


def _by_code(code: grpc.StatusCode, message: str) -> type[RelayError]:
    # gRPC's own size limits answer before any of our code runs, hence with no reason.
    if code is _C.RESOURCE_EXHAUSTED and "message larger than max" in message:
        return TooLarge
    return _BY_CODE.get(code, RelayError)


def _status_details(trailers: Iterable[tuple[str, str | bytes]] | None) -> status_pb2.Status | None:
    for key, value in trailers or ():
        if key == _DETAILS_KEY and isinstance(value, bytes):
            try:
                return status_pb2.Status.FromString(value)
            except DecodeError:
                return None  # a proxy's own details: the code still says enough
    return None
