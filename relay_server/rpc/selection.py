"""Reads how a request chooses its jobs: by ids, by state, or by a filter that says something."""

from collections.abc import Sequence

from google.protobuf.message import Message

from relay.v1 import admin_service_pb2, dead_letter_service_pb2
from relay_server import limits
from relay_server.rpc.validate import Checks
from relay_server.words import State

BulkRequest = (
    admin_service_pb2.CancelJobsRequest
    | dead_letter_service_pb2.RequeueDeadLettersRequest
    | dead_letter_service_pb2.PurgeDeadLettersRequest
)


def read_ids(checks: Checks, request: BulkRequest) -> list[bytes] | None:
    """The ids, at least one; None when a filter chooses."""
    if not request.HasField("ids"):
        return None
    ids = request.ids.ids
    if not ids:
        checks.add("ids.ids", f"must be 1 to {limits.IDS_MAX} job ids, has none")
    return [checks.job_id(text, f"ids.ids[{i}]") for i, text in enumerate(ids)]


def read_state(checks: Checks, number: int, field: str, allowed: Sequence[State]) -> State:
    """The state that a request names."""
    if number in allowed:
        return State(number)
    names = ", ".join(state.name for state in allowed)
    hint = "; for dead letters use DeadLetterService" if State.DEAD not in allowed else ""
    checks.add(field, f"must be one of {names}{hint}")
    return allowed[0]


def require_selection(checks: Checks, request: BulkRequest, what: str) -> None:
    """Choosing everything must be said, so that a forgotten condition cannot do it."""
    if request.WhichOneof("selection") is None:
        checks.add("selection", f"is required: set ids, or filter (with all: true to choose every {what})")
    elif request.HasField("filter") and _is_empty(request.filter):
        checks.add(
            "filter.all", f"must be true to choose every {what}; or set another condition of the filter"
        )


def _is_empty(chosen: Message) -> bool:
    return chosen.ByteSize() == 0
