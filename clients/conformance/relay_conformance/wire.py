"""Builds frames, answers and errors of the contract, and parts of a later version."""

from datetime import timedelta

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2

from relay.v1 import queue_service_pb2 as pb
from relay_conformance.scenario import Error
from relay_conformance.scripted import Refuse

OUTCOMES: dict[str, int] = {
    "OK": pb.LEASE_OUTCOME_OK,
    "LEASE_LOST": pb.LEASE_OUTCOME_LEASE_LOST,
    "GONE": pb.LEASE_OUTCOME_GONE,
    "CANCELLED": pb.LEASE_OUTCOME_CANCELLED,
    # One that a later version may add.
    "UNKNOWN": 99,
}
# Field 2000, bytes "later".
_UNKNOWN_FIELD = b"\x82\x7d\x05later"
# Field 1999, an empty message: in ClaimResponse, a frame of a kind that does not exist.
_UNKNOWN_FRAME = b"\xfa\x7c\x00"


def duration(ms: float) -> Duration:
    """Milliseconds as the contract has them."""
    made = Duration()
    made.FromTimedelta(timedelta(milliseconds=ms))
    return made


def milliseconds(value: Duration) -> int:
    """A duration of the contract in milliseconds."""
    return round(value.seconds * 1000 + value.nanos / 1e6)


def add_unknown(*messages: Message) -> None:
    """Gives each message a field that its definition does not have; it is sent with the others."""
    for message in messages:
        message.MergeFromString(_UNKNOWN_FIELD)


def unknown_frame() -> pb.ClaimResponse:
    """A frame whose kind no client knows."""
    return pb.ClaimResponse.FromString(_UNKNOWN_FRAME)


def outcome(name: str) -> "pb.LeaseOutcome.ValueType":
    """A LeaseOutcome by its name, also one that does not exist."""
    return OUTCOMES[name]  # type: ignore[return-value]  # enums of proto3 are open


def refuse(error: Error) -> Refuse:
    """The error as an exception that ends a call."""
    details: list[Message] = []
    if error.reason:
        details.append(
            error_details_pb2.ErrorInfo(reason=error.reason, domain="relay", metadata=error.metadata)
        )
    if error.retry_after_ms is not None:
        details.append(error_details_pb2.RetryInfo(retry_delay=duration(error.retry_after_ms)))
    if error.violation is not None:
        violation = error_details_pb2.BadRequest.FieldViolation(
            field=error.violation, description=error.message
        )
        details.append(error_details_pb2.BadRequest(field_violations=[violation]))
    return Refuse(grpc.StatusCode[error.code], error.message, *details)
