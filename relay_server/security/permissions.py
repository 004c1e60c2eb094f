"""The one table of permissions: the role that each RPC needs, and on which queues of its request."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from relay_server.security.principals import Role

_QUEUE, _DEAD, _ADMIN = "/relay.v1.QueueService/", "/relay.v1.DeadLetterService/", "/relay.v1.AdminService/"
_SCALER = "/externalscaler.ExternalScaler/"


@dataclass(frozen=True, slots=True)
class Rule:
    """`queues` gives the queues that a request names, and the caller needs the role on each.

    For a request that names none, the role on any queue is enough: the handler then shows only visible queues.
    """

    role: Role
    queues: Callable[[Any], Iterable[str]]
    audited: bool = False


def _own(request: Any) -> Iterable[str]:
    return (request.queue,) if request.queue else ()


def _none(_request: Any) -> Iterable[str]:
    return ()


def _claimed(request: Any) -> Iterable[str]:
    return {entry.queue for entries in (request.queues, request.leases) for entry in entries}


def _leased(request: Any) -> Iterable[str]:
    return {group.queue for group in request.leases}


def _nacked(request: Any) -> Iterable[str]:
    return {job.queue for job in request.jobs}


def _triggered(request: Any) -> Iterable[str]:
    return (request.scalerMetadata.get("queue", ""),)


def _triggered_metric(request: Any) -> Iterable[str]:
    return _triggered(request.scaledObjectRef)


RULES: dict[str, Rule] = {
    _QUEUE + "Enqueue": Rule(Role.PRODUCER, _own),
    _QUEUE + "EnqueueBatch": Rule(Role.PRODUCER, _own),
    _QUEUE + "Claim": Rule(Role.WORKER, _claimed),
    _QUEUE + "Ack": Rule(Role.WORKER, _leased),
    _QUEUE + "Nack": Rule(Role.WORKER, _nacked),
    _QUEUE + "Extend": Rule(Role.WORKER, _leased),
    _DEAD + "ListDeadLetters": Rule(Role.VIEWER, _own),
    _DEAD + "GroupDeadLetters": Rule(Role.VIEWER, _own),
    _DEAD + "RequeueDeadLetters": Rule(Role.OPERATOR, _own, audited=True),
    _DEAD + "PurgeDeadLetters": Rule(Role.OPERATOR, _own, audited=True),
    _ADMIN + "Stats": Rule(Role.VIEWER, _own),
    _ADMIN + "WatchStats": Rule(Role.VIEWER, _own),
    _ADMIN + "GetHistory": Rule(Role.VIEWER, _own),
    _ADMIN + "ListQueues": Rule(Role.VIEWER, _none),
    _ADMIN + "UpdateQueue": Rule(Role.OPERATOR, _own, audited=True),
    _ADMIN + "PauseQueue": Rule(Role.OPERATOR, _own, audited=True),
    _ADMIN + "ResumeQueue": Rule(Role.OPERATOR, _own, audited=True),
    _ADMIN + "PurgeQueue": Rule(Role.OPERATOR, _own, audited=True),
    _ADMIN + "ListJobs": Rule(Role.VIEWER, _own),
    _ADMIN + "GetJob": Rule(Role.VIEWER, _own),
    _ADMIN + "RunJobNow": Rule(Role.OPERATOR, _own, audited=True),
    _ADMIN + "CancelJobs": Rule(Role.OPERATOR, _own, audited=True),
    _ADMIN + "ListWorkers": Rule(Role.VIEWER, _none),
    _ADMIN + "Audit": Rule(Role.VIEWER, _own),
    _ADMIN + "GetServerInfo": Rule(Role.VIEWER, _none),
    _SCALER + "IsActive": Rule(Role.VIEWER, _triggered),
    _SCALER + "StreamIsActive": Rule(Role.VIEWER, _triggered),
    _SCALER + "GetMetricSpec": Rule(Role.VIEWER, _triggered),
    _SCALER + "StreamMetricSpec": Rule(Role.VIEWER, _triggered),
    _SCALER + "GetMetrics": Rule(Role.VIEWER, _triggered_metric),
}

# Probes have no credentials, and learn only whether the server serves.
OPEN = "/grpc.health.v1.Health/"
