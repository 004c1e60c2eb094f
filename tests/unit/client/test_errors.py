"""Every status becomes the right exception, with all the server said."""

import copy
import pickle

import grpc
import pytest

from relay.v1 import errors_pb2
from relay_client import Client, errors
from tests.unit.client.scripts import QueueScript, refuse

REASONS = [
    name.removeprefix("ERROR_REASON_") for name, number in errors_pb2.ErrorReason.items() if number != 0
]


def test_every_reason_has_a_class_of_its_own() -> None:
    assert set(errors.BY_REASON) == set(REASONS)
    assert len({kind for kind, _ in errors.BY_REASON.values()}) == len(REASONS)


@pytest.mark.parametrize("reason", REASONS)
def test_a_reason_arrives_as_its_class(reason: str, queue: QueueScript, server: str) -> None:
    kind, code = errors.BY_REASON[reason]
    # The long pause ends the repeats of UNAVAILABLE at once: it is past the deadline.
    queue.faults.append(refuse(code, reason, "because", metadata={"job_id": "x"}, retry_after=29.5))
    with Client(server) as client, pytest.raises(errors.RelayError) as caught:
        client.enqueue("q", "t")
    assert type(caught.value) is kind
    assert (caught.value.code, caught.value.reason) == (code, reason)
    assert str(caught.value) == "because"
    assert caught.value.metadata == {"job_id": "x"}
    assert caught.value.retry_after == 29.5


def test_violations_name_each_field(queue: QueueScript, server: str) -> None:
    queue.faults.append(
        refuse(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", violations={"job.type": "is required"})
    )
    with Client(server) as client, pytest.raises(errors.InvalidField) as caught:
        client.enqueue("q", "")
    assert caught.value.violations == (errors.Violation("job.type", "is required"),)


def test_a_mismatch_names_the_holder(queue: QueueScript, server: str) -> None:
    queue.faults.append(
        refuse(grpc.StatusCode.ALREADY_EXISTS, "IDEMPOTENCY_MISMATCH", metadata={"job_id": "the-first"})
    )
    with Client(server) as client, pytest.raises(errors.IdempotencyMismatch) as caught:
        client.enqueue("q", "t", idempotency_key="k")
    assert caught.value.job_id == "the-first"


@pytest.mark.parametrize(
    ("code", "message", "kind"),
    [
        (grpc.StatusCode.UNAVAILABLE, "connection refused", errors.Unavailable),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded", errors.DeadlineExceeded),
        (grpc.StatusCode.UNAUTHENTICATED, "who?", errors.Unauthenticated),
        (grpc.StatusCode.PERMISSION_DENIED, "no", errors.PermissionDenied),
        (
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "SERVER: Received message larger than max (5 vs. 4)",
            errors.TooLarge,
        ),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "slow down", errors.RelayError),
        (grpc.StatusCode.UNIMPLEMENTED, "what?", errors.RelayError),
    ],
)
def test_a_status_without_details_is_told_by_its_code(
    code: grpc.StatusCode, message: str, kind: type[errors.RelayError]
) -> None:
    error = errors.from_status(code, message)
    assert type(error) is kind
    assert (error.code, error.reason, error.retry_after) == (code, "", None)


def test_a_reason_of_another_domain_or_of_a_newer_server_is_kept_apart() -> None:
    newer = errors.from_status(
        grpc.StatusCode.UNAVAILABLE, "m", refuse(grpc.StatusCode.UNAVAILABLE, "FROM_THE_FUTURE").status
    )
    assert type(newer) is errors.Unavailable
    assert newer.reason == "FROM_THE_FUTURE"
    foreign = refuse(grpc.StatusCode.INTERNAL, "QUEUE_FULL").status
    foreign.details[0].value = foreign.details[0].value.replace(b"relay", b"other")
    error = errors.from_status(grpc.StatusCode.INTERNAL, "m", foreign)
    assert (type(error), error.reason) == (errors.RelayError, "")


def test_reasons_of_single_jobs_and_unknown_ones() -> None:
    full = errors.from_reason(errors_pb2.ERROR_REASON_QUEUE_FULL, "full", {})
    assert (type(full), full.reason) == (errors.QueueFull, "QUEUE_FULL")
    unknown = errors.from_reason(999, "?", {})
    assert (type(unknown), unknown.reason) == (errors.RelayError, "999")


def test_errors_can_be_copied_and_pickled() -> None:
    error = errors.QueueFull(
        "full", code=grpc.StatusCode.RESOURCE_EXHAUSTED, reason="QUEUE_FULL", retry_after=2.5
    )
    for other in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert type(other) is errors.QueueFull
        assert (str(other), other.code, other.reason, other.retry_after) == (
            "full",
            error.code,
            "QUEUE_FULL",
            2.5,
        )
