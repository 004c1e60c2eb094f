"""The one table of sizes: the bytes of each type of request, and the entries of each list and map in it.

The import compares it with the descriptors of all services. A request type without a bound, or with a list or map
without one, stops the server's start.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from google.protobuf.descriptor import Descriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from relay.v1 import admin_service_pb2 as admin
from relay.v1 import dead_letter_service_pb2 as dead
from relay.v1 import queue_service_pb2 as queue
from relay_server import limits
from relay_server.keda import externalscaler_pb2 as keda


class Unbounded(TypeError):
    """A request type, or a list in one, has no bound; or there is a bound for a field that does not exist."""


@dataclass(frozen=True, slots=True)
class Entries:
    """The most entries of one list or map; with `in_all`, of all lists at this place of one request together."""

    most: int
    in_all: bool = False

    def wrong(self, has: object) -> str:
        """The text of the violation for a list with more entries."""
        where = " in all of the request" if self.in_all else ""
        return f"must be at most {self.most} entries{where}, has {has}"


@dataclass(frozen=True, slots=True, eq=False)
class Bounded:
    """A field that is a list or map, with its bound in `entries`, or a message with such fields `below`."""

    name: str
    entries: Entries | None
    below: "Place | None"


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """A message type at one place of a request, with its bounded fields by number.

    `others` is the number of its other fields. A message of up to `harmless_bytes` cannot exceed any bound. `only` is
    (name, most entries) of its list, when it has just one and the entries of that are no messages.
    """

    fields: Mapping[int, Bounded]
    others: int
    all: tuple[Bounded, ...] = field(init=False)
    harmless_bytes: int = field(init=False)
    only: tuple[str, int] | None = field(init=False)

    def __post_init__(self) -> None:
        found = tuple(self.fields.values())
        object.__setattr__(self, "all", found)
        most = [2 * one.entries.most for one in found if one.entries is not None]
        below = [one.below.harmless_bytes for one in found if one.below is not None]
        object.__setattr__(self, "harmless_bytes", min(most + below))
        only = [
            (one.name, one.entries.most)
            for one in found
            if one.entries is not None and not one.entries.in_all and one.below is None
        ]
        object.__setattr__(self, "only", only[0] if len(only) == len(found) == 1 else None)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Bounds:
    """The bounds of one type of request. `place` is the request itself; None when it has no lists."""

    message: type[Message]
    bytes_max: int
    place: Place | None
    decode: Callable[[bytes], Any] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "decode", self.message.FromString)


def bounds(descriptor: Descriptor, bytes_max: int, lists: Mapping[str, Entries]) -> Bounds:
    """The bounds of a type, checked against it; `lists` are by path, such as "leases.job_ids". Raises Unbounded."""
    left = dict(lists)
    place = _place(descriptor, "", left, (descriptor.full_name,))
    if left:
        raise Unbounded(f"{descriptor.full_name} has no list at {', '.join(left)}")
    return Bounds(message=GetMessageClass(descriptor), bytes_max=bytes_max, place=place)


def _place(descriptor: Any, path: str, left: dict[str, Entries], within: tuple[str, ...]) -> Place | None:
    found: dict[int, Bounded] = {}
    for one in descriptor.fields:
        here = f"{path}.{one.name}" if path else one.name
        below = None
        if one.message_type is not None:
            if one.message_type.full_name in within:
                raise Unbounded(f"{within[0]} {here}: a message that contains itself has no bound")
            inner = (*within, one.message_type.full_name)
            below = _place(one.message_type, here, left, inner)
        if one.is_repeated:
            entries = left.pop(here, None)
            if entries is None:
                raise Unbounded(
                    f"{within[0]} has no bound for {here}: give it one in relay_server/contract/bounds.py"
                )
            if below is not None and one.message_type.GetOptions().map_entry:
                raise Unbounded(f"{within[0]} {here}: nothing counts the lists in the values of a map")
            found[one.number] = Bounded(one.name, entries, below)
        elif below is not None:
            found[one.number] = Bounded(one.name, None, below)
    return Place(found, len(descriptor.fields) - len(found)) if found else None


def _in_all(most: int) -> Entries:
    return Entries(most, in_all=True)


_SMALL = limits.REQUEST_BYTES_MAX
_IDS = {"ids.ids": Entries(limits.IDS_MAX)}
_METADATA = limits.SCALER_METADATA_MAX

_TABLE: Final[Mapping[type[Message], tuple[int, Mapping[str, Entries]]]] = {
    queue.EnqueueRequest: (limits.MESSAGE_BYTES_MAX, {"job.headers": Entries(limits.HEADERS_MAX)}),
    queue.EnqueueBatchRequest: (
        limits.BATCH_BYTES_MAX,
        {"jobs": Entries(limits.BATCH_JOBS_MAX), "jobs.headers": Entries(limits.HEADERS_MAX)},
    ),
    queue.ClaimRequest: (
        limits.CLAIM_BYTES_MAX,
        {
            "queues": Entries(limits.QUEUES_PER_CLAIM_MAX),
            "leases": Entries(limits.IN_FLIGHT_MAX),
            "leases.job_ids": _in_all(limits.IN_FLIGHT_MAX),
        },
    ),
    queue.AckRequest: (
        limits.LEASES_BYTES_MAX,
        {"leases": Entries(limits.BATCH_JOBS_MAX), "leases.job_ids": _in_all(limits.BATCH_JOBS_MAX)},
    ),
    queue.NackRequest: (limits.MESSAGE_BYTES_MAX, {"jobs": Entries(limits.BATCH_JOBS_MAX)}),
    queue.ExtendRequest: (
        limits.LEASES_BYTES_MAX,
        {
            "leases": Entries(limits.BATCH_JOBS_MAX),
            "leases.job_ids": _in_all(limits.BATCH_JOBS_MAX),
            "progress": Entries(limits.BATCH_JOBS_MAX),
        },
    ),
    dead.ListDeadLettersRequest: (_SMALL, {}),
    dead.GroupDeadLettersRequest: (_SMALL, {}),
    dead.RequeueDeadLettersRequest: (limits.IDS_BYTES_MAX, _IDS),
    dead.PurgeDeadLettersRequest: (limits.IDS_BYTES_MAX, _IDS),
    admin.StatsRequest: (_SMALL, {}),
    admin.WatchStatsRequest: (_SMALL, {}),
    admin.GetHistoryRequest: (_SMALL, {}),
    admin.ListQueuesRequest: (_SMALL, {}),
    admin.UpdateQueueRequest: (_SMALL, {}),
    admin.PauseQueueRequest: (_SMALL, {}),
    admin.ResumeQueueRequest: (_SMALL, {}),
    admin.PurgeQueueRequest: (_SMALL, {}),
    admin.ListJobsRequest: (_SMALL, {}),
    admin.GetJobRequest: (_SMALL, {}),
    admin.RunJobNowRequest: (_SMALL, {}),
    admin.CancelJobsRequest: (limits.IDS_BYTES_MAX, _IDS),
    admin.ListWorkersRequest: (_SMALL, {}),
    admin.AuditRequest: (_SMALL, {}),
    admin.GetServerInfoRequest: (_SMALL, {}),
    keda.ScaledObjectRef: (_SMALL, {"scalerMetadata": Entries(_METADATA)}),
    keda.GetMetricsRequest: (_SMALL, {"scaledObjectRef.scalerMetadata": Entries(_METADATA)}),
    health_pb2.HealthCheckRequest: (_SMALL, {}),
    health_pb2.HealthListRequest: (_SMALL, {}),  # type: ignore[attr-defined] # younger than the stubs
    reflection_pb2.ServerReflectionRequest: (_SMALL, {}),
}

# All services of the server (rpc/server.py).
SERVED: Final[tuple[ServiceDescriptor, ...]] = (  # type: ignore[assignment] # the stubs' descriptors differ
    queue.DESCRIPTOR.services_by_name["QueueService"],
    dead.DESCRIPTOR.services_by_name["DeadLetterService"],
    admin.DESCRIPTOR.services_by_name["AdminService"],
    keda.DESCRIPTOR.services_by_name["ExternalScaler"],
    health_pb2.DESCRIPTOR.services_by_name["Health"],
    reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"],
)

_BY_TYPE: Final = {
    kind.DESCRIPTOR.full_name: bounds(kind.DESCRIPTOR, *given)  # type: ignore[arg-type] # the stubs' descriptor
    for kind, given in _TABLE.items()
}


def of(descriptor: Descriptor) -> Bounds:
    """The bounds of a type of request. Raises Unbounded."""
    found = _BY_TYPE.get(descriptor.full_name)
    if found is None:
        raise Unbounded(
            f"{descriptor.full_name} has no bounds: give it some in relay_server/contract/bounds.py"
        )
    return found


BY_METHOD: Final[Mapping[str, Bounds]] = {
    f"/{service.full_name}/{method.name}": of(method.input_type)
    for service in SERVED
    for method in service.methods
}
