"""Codes domain errors as gRPC statuses with their reason, in one table."""

from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode

from relay.v1 import errors_pb2
from relay_server import errors

DOMAIN = "relay"

_R = errors_pb2.ErrorReason
TABLE: dict[type[errors.RelayError], tuple[StatusCode, "errors_pb2.ErrorReason.ValueType"]] = {
    errors.InvalidField: (StatusCode.INVALID_ARGUMENT, _R.ERROR_REASON_INVALID_FIELD),
    errors.QueueNotFound: (StatusCode.NOT_FOUND, _R.ERROR_REASON_QUEUE_NOT_FOUND),
    errors.JobNotFound: (StatusCode.NOT_FOUND, _R.ERROR_REASON_JOB_NOT_FOUND),
    errors.IdempotencyMismatch: (StatusCode.ALREADY_EXISTS, _R.ERROR_REASON_IDEMPOTENCY_MISMATCH),
    errors.QueueFull: (StatusCode.RESOURCE_EXHAUSTED, _R.ERROR_REASON_QUEUE_FULL),
    errors.TooLarge: (StatusCode.RESOURCE_EXHAUSTED, _R.ERROR_REASON_TOO_LARGE),
    errors.QuotaExceeded: (StatusCode.RESOURCE_EXHAUSTED, _R.ERROR_REASON_QUOTA_EXCEEDED),
    errors.Overloaded: (StatusCode.RESOURCE_EXHAUSTED, _R.ERROR_REASON_OVERLOADED),
    errors.StoreUnavailable: (StatusCode.UNAVAILABLE, _R.ERROR_REASON_STORE_UNAVAILABLE),
    errors.StoreOutOfMemory: (StatusCode.RESOURCE_EXHAUSTED, _R.ERROR_REASON_STORE_OUT_OF_MEMORY),
    errors.WrongState: (StatusCode.FAILED_PRECONDITION, _R.ERROR_REASON_WRONG_STATE),
    errors.Unauthenticated: (StatusCode.UNAUTHENTICATED, _R.ERROR_REASON_UNAUTHENTICATED),
    errors.PermissionDenied: (StatusCode.PERMISSION_DENIED, _R.ERROR_REASON_PERMISSION_DENIED),
    errors.Draining: (StatusCode.UNAVAILABLE, _R.ERROR_REASON_DRAINING),
}


def reason_name(reason: "errors_pb2.ErrorReason.ValueType") -> str:
    """The reason as ErrorInfo carries it: without the enum's prefix."""
    return errors_pb2.ErrorReason.Name(reason).removeprefix("ERROR_REASON_")


def to_status(error: errors.RelayError) -> status_pb2.Status:
    """The rich status of a domain error."""
    code, reason = TABLE[type(error)]
    text = str(error)
    info = error_details_pb2.ErrorInfo(reason=reason_name(reason), domain=DOMAIN, metadata=error.metadata)
    details = [_pack(info)]
    if isinstance(error, errors.InvalidField):
        bad = error_details_pb2.BadRequest()
        for field, wrong in error.violations:
            bad.field_violations.add(field=field, description=wrong)
        details.append(_pack(bad))
    if code is StatusCode.RESOURCE_EXHAUSTED:
        quota = error_details_pb2.QuotaFailure()
        quota.violations.add(subject=error.metadata.get("subject", "server"), description=text)
        details.append(_pack(quota))
    if error.retry_after_ms is not None:
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(error.retry_after_ms)
        details.append(_pack(error_details_pb2.RetryInfo(retry_delay=delay)))
    return status_pb2.Status(code=code.value[0], message=text, details=details)


def internal_status(request_id: str) -> status_pb2.Status:
    """The status of a defect: the caller gets a request id to look up in the log, never the error itself."""
    info = error_details_pb2.ErrorInfo(
        reason=reason_name(_R.ERROR_REASON_INTERNAL), domain=DOMAIN, metadata={"request_id": request_id}
    )
    text = f"internal error; look for request_id {request_id} in the server's log"
    return status_pb2.Status(code=StatusCode.INTERNAL.value[0], message=text, details=[_pack(info)])


def _pack(detail: object) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(detail)  # type: ignore[arg-type]
    return packed
