"""Reads what workers send to QueueService, and checks each field."""

from collections.abc import Iterable, Sequence

from relay.v1 import queue_service_pb2
from relay_server import limits
from relay_server.claims.session import Report, Terms
from relay_server.model import Lease, NackedJob
from relay_server.rpc import convert
from relay_server.rpc.validate import Checks

pb = queue_service_pb2


def terms(checks: Checks, request: pb.ClaimRequest) -> Terms:
    """What the worker of a new stream asks for."""
    queues = _weights(checks, request.queues)
    worker_id = checks.text(
        request.worker_id, "worker_id", bytes_max=limits.WORKER_ID_BYTES_MAX, required=True
    )
    client_version = checks.text(
        request.client_version, "client_version", bytes_max=limits.CLIENT_VERSION_BYTES_MAX
    )
    max_in_flight = checks.number(request.max_in_flight, "max_in_flight", 1, limits.IN_FLIGHT_MAX)
    lease_ms = lease_of(checks, request) or limits.LEASE_MS_DEFAULT
    grace_ms = 0
    if request.HasField("disconnect_grace"):
        grace_ms = checks.duration(
            request.disconnect_grace, "disconnect_grace", high_ms=limits.DISCONNECT_GRACE_MS_MAX
        )
    return Terms(
        worker_id=worker_id,
        client_version=client_version,
        queues=queues,
        max_in_flight=max_in_flight,
        lease_ms=lease_ms,
        grace_ms=grace_ms,
    )


def lease_of(checks: Checks, request: pb.ClaimRequest | pb.ExtendRequest) -> int:
    """The lease that is asked for, in ms; 0 when none is."""
    if not request.HasField("lease"):
        return 0
    return checks.duration(request.lease, "lease", low_ms=limits.LEASE_MS_MIN, high_ms=limits.LEASE_MS_MAX)


def require_jobs(checks: Checks, jobs: Sequence[object]) -> None:
    """A batch has at least one job; `bounds.py` says how many at most."""
    if not jobs:
        checks.add("jobs", f"must be 1 to {limits.BATCH_JOBS_MAX} jobs, has none")


def leases(checks: Checks, groups: Iterable[pb.LeaseGroup]) -> list[tuple[str, list[Lease]]]:
    """(queue, leases) for each group, in the order of the request."""
    parsed: list[tuple[str, list[Lease]]] = []
    for i, group in enumerate(groups):
        path = f"leases[{i}]"
        queue = checks.queue(group.queue, f"{path}.queue")
        token = checks.token(group.lease_token, f"{path}.lease_token")
        if not group.job_ids:
            checks.add(f"{path}.job_ids", "is required")
        parsed.append((queue, [Lease(checks.job_id(id_, f"{path}.job_ids"), token) for id_ in group.job_ids]))
    return parsed


def nacked(checks: Checks, entries: Iterable[pb.NackedJob]) -> dict[str, list[tuple[int, NackedJob]]]:
    """By queue: the jobs, each with its place in the request."""
    by_queue: dict[str, list[tuple[int, NackedJob]]] = {}
    for i, entry in enumerate(entries):
        by_queue.setdefault(entry.queue, []).append((i, _nacked(checks, entry, f"jobs[{i}]")))
    return by_queue


def progress(checks: Checks, request: pb.ExtendRequest) -> dict[bytes, tuple[float, str]]:
    """By job: which part of it is done, and what the worker says about it."""
    by_job: dict[bytes, tuple[float, str]] = {}
    for i, entry in enumerate(request.progress):
        path = f"progress[{i}]"
        fraction = checks.number(entry.fraction, f"{path}.fraction", 0.0, 1.0)
        note = checks.text(entry.note, f"{path}.note", bytes_max=limits.NOTE_BYTES_MAX)
        by_job[checks.job_id(entry.job_id, f"{path}.job_id")] = fraction, note
    return by_job


def report(checks: Checks, window: pb.WindowReport) -> Report | None:
    """The worker's statement of its window; None when the request has none."""
    if not window.session_id:
        return None
    session_id = checks.text(window.session_id, "window.session_id", bytes_max=limits.SESSION_ID_BYTES_MAX)
    in_flight = checks.number(window.in_flight, "window.in_flight", 0, limits.IN_FLIGHT_REPORT_MAX)
    received = checks.number(window.received, "window.received", 0, 2**62)
    return Report(
        session_id=session_id,
        received=received,
        in_flight=in_flight,
        seq=window.seq,
        stream=window.stream,
    )


def _weights(checks: Checks, entries: Sequence[pb.QueueWeight]) -> dict[str, int]:
    if not entries:
        checks.add("queues", f"must be 1 to {limits.QUEUES_PER_CLAIM_MAX} queues, has none")
    weights: dict[str, int] = {}
    for i, entry in enumerate(entries):
        queue = checks.queue(entry.queue, f"queues[{i}].queue")
        weight = checks.number(entry.weight, f"queues[{i}].weight", 0, limits.WEIGHT_MAX)
        if queue in weights:
            checks.add(f"queues[{i}].queue", f"{queue} is named twice")
        weights[queue] = weight or 1
    return weights


def _nacked(checks: Checks, entry: pb.NackedJob, path: str) -> NackedJob:
    checks.queue(entry.queue, f"{path}.queue")
    kind = convert.NACK_WORDS.get(entry.kind)
    if kind is None:
        checks.add(f"{path}.kind", "must be RETRY, DEAD, RELEASE or THROTTLED")
        kind = convert.NACK_WORDS[pb.NACK_KIND_RETRY]
    after_ms = -1
    if entry.HasField("after"):
        after_ms = checks.duration(entry.after, f"{path}.after", high_ms=limits.DELAY_MS_MAX)
    error = entry.error
    error_type = checks.text(error.type, f"{path}.error.type", bytes_max=limits.ERROR_TYPE_BYTES_MAX)
    size = len(error.message.encode()) + len(error.stack.encode())
    if size > limits.ERROR_BYTES_MAX:
        checks.add(
            f"{path}.error",
            f"message and stack must be at most {limits.ERROR_BYTES_MAX} bytes together, have {size}",
        )
    return NackedJob(
        checks.job_id(entry.job_id, f"{path}.job_id"),
        checks.token(entry.lease_token, f"{path}.lease_token"),
        kind,
        after_ms,
        error_type,
        error.SerializeToString() if entry.HasField("error") else b"",
    )
