"""The numbers of states, reasons and kinds of failures, as the store keeps them, are those of the contract."""

from relay.v1 import job_pb2
from relay_server.words import DeadReason, FailureKind, State


def test_states() -> None:
    ours = {f"JOB_STATE_{state.name}": int(state) for state in State}
    assert {"JOB_STATE_UNSPECIFIED": 0, **ours} == dict(job_pb2.JobState.items())


def test_reasons_of_dead_letters() -> None:
    ours = {
        f"DEAD_REASON_{reason.name}": int(reason) for reason in DeadReason if reason is not DeadReason.NONE
    }
    assert {"DEAD_REASON_UNSPECIFIED": int(DeadReason.NONE), **ours} == dict(job_pb2.DeadReason.items())


def test_kinds_of_failures_are_those_of_the_contract() -> None:
    ours = {f"FAILURE_KIND_{kind.name}": int(kind) for kind in FailureKind if kind is not FailureKind.UNKNOWN}
    assert {"FAILURE_KIND_UNSPECIFIED": int(FailureKind.UNKNOWN), **ours} == dict(job_pb2.FailureKind.items())
