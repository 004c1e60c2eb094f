"""The numbers of states and reasons, as the store keeps them, are those of the contract."""

from relay.v1 import job_pb2
from relay_server.model import DeadReason, State


def test_states() -> None:
    ours = {f"JOB_STATE_{state.name}": int(state) for state in State}
    assert {"JOB_STATE_UNSPECIFIED": 0, **ours} == dict(job_pb2.JobState.items())


def test_reasons_of_dead_letters() -> None:
    ours = {
        f"DEAD_REASON_{reason.name}": int(reason) for reason in DeadReason if reason is not DeadReason.NONE
    }
    assert {"DEAD_REASON_UNSPECIFIED": int(DeadReason.NONE), **ours} == dict(job_pb2.DeadReason.items())
