"""Between the contract's messages and the server's own data, for what operators use."""

from google.protobuf.duration_pb2 import Duration

from relay.v1 import admin_service_pb2 as pb
from relay.v1 import queue_service_pb2
from relay_server import limits
from relay_server.engine.listings import Minute
from relay_server.engine.roster import WorkerEntry
from relay_server.model import AuditPage, Finding, QueueSnapshot
from relay_server.observability.metrics import ScriptTiming
from relay_server.rpc.convert import duration, timestamp
from relay_server.rpc.ids import uuid_text
from relay_server.rpc.server_facts import PROTOCOL_VERSION, ServerFacts, StoreInfo
from relay_server.rpc.validate import Checks
from relay_server.storage import Durability

_COUNTERS = frozenset(field.name for field in pb.QueueCounters.DESCRIPTOR.fields)
_DURABILITIES = {
    Durability.ALWAYS: pb.DURABILITY_ALWAYS,
    Durability.EVERYSEC: pb.DURABILITY_EVERYSEC,
    Durability.OS: pb.DURABILITY_OS,
    Durability.NONE: pb.DURABILITY_NONE,
}


def queue_stats(snapshot: QueueSnapshot) -> pb.QueueStats:
    known = {name: total for name, total in snapshot.counters.items() if name in _COUNTERS}
    return pb.QueueStats(
        queue=snapshot.queue,
        ready=snapshot.ready,
        delayed=snapshot.delayed,
        inflight=snapshot.inflight,
        dead=snapshot.dead,
        unreadable=snapshot.unreadable,
        oldest_ready_age=duration(snapshot.oldest_ready_ms),
        paused=snapshot.paused,
        counters=pb.QueueCounters(**known),
    )


def queue_with_settings(snapshot: QueueSnapshot) -> pb.Queue:
    settings = snapshot.settings
    return pb.Queue(
        name=snapshot.queue,
        paused=snapshot.paused,
        settings=pb.QueueSettings(
            rate=settings.rate,
            burst=settings.burst,
            priority_step=duration(settings.priority_step_ms),
            max_jobs=settings.max_jobs,
            max_expirations=settings.max_expirations,
        ),
    )


def changed_settings(checks: Checks, settings: pb.QueueSettings) -> dict[str, float]:
    """The settings that a request sets, by the names the engine knows; at least one."""
    values: dict[str, float] = {}
    bounds: dict[str, tuple[float, float]] = {
        "rate": (0, limits.RATE_MAX),
        "burst": (0, limits.BURST_MAX),
        "max_jobs": (0, limits.MAX_JOBS_MAX),
        "max_expirations": (1, limits.MAX_EXPIRATIONS_MAX),
    }
    for name, (low, high) in bounds.items():
        if settings.HasField(name):  # type: ignore[arg-type]
            values[name] = checks.number(getattr(settings, name), f"settings.{name}", low, high)
    if settings.HasField("priority_step"):
        values["priority_step"] = checks.duration(
            settings.priority_step, "settings.priority_step", high_ms=limits.PRIORITY_STEP_MS_MAX
        )
    if not values:
        checks.add("settings", "is empty; set at least one of " + ", ".join([*bounds, "priority_step"]))
    return values


def history_bucket(minute: Minute) -> pb.HistoryBucket:
    return pb.HistoryBucket(
        time=timestamp(minute.at_ms),
        enqueued=minute.enqueued,
        acked=minute.acked,
        failed=minute.failed,
        dead=minute.dead,
        ready=minute.ready,
        inflight=minute.inflight,
    )


def worker(entry: WorkerEntry) -> pb.Worker:
    return pb.Worker(
        session_id=entry.session_id,
        worker_id=entry.worker_id,
        queues=[queue_service_pb2.QueueWeight(queue=name, weight=weight) for name, weight in entry.queues],
        max_in_flight=entry.max_in_flight,
        in_flight=entry.in_flight,
        client_version=entry.client_version,
        connect_time=timestamp(entry.connect_ms),
        seen_time=timestamp(entry.seen_ms),
        server_id=entry.server_id,
        connected=entry.connected,
    )


def finding(found: Finding) -> pb.AuditFinding:
    job_id = uuid_text(found.job_id) if len(found.job_id) == 16 else found.job_id.hex()
    return pb.AuditFinding(invariant=found.invariant, job_id=job_id, detail=found.detail)


def audit_response(queue: str, page: AuditPage) -> pb.AuditResponse:
    return pb.AuditResponse(
        queue=queue, checked=page.checked, findings=map(finding, page.findings), done=page.cursor is None
    )


def server_info(facts: ServerFacts, store: StoreInfo) -> pb.GetServerInfoResponse:
    return pb.GetServerInfoResponse(
        version=facts.version,
        protocol_version=PROTOCOL_VERSION,
        server_id=facts.server_id,
        start_time=timestamp(facts.start_ms),
        limits=pb.Limits(
            payload_bytes_max=facts.payload_bytes_max,
            batch_jobs_max=limits.BATCH_JOBS_MAX,
            batch_bytes_max=limits.BATCH_BYTES_MAX,
            max_in_flight_max=limits.IN_FLIGHT_MAX,
            lease_min=duration(limits.LEASE_MS_MIN),
            lease_max=duration(limits.LEASE_MS_MAX),
            streams_max=facts.streams_max,
        ),
        store=_store(store),
        scripts=[_script(timing) for timing in facts.script_timings()],
        streams=facts.streams(),
    )


def _store(store: StoreInfo) -> pb.StoreInfo:
    report = store.report
    known = report.durability_known
    return pb.StoreInfo(
        server=report.server_name,
        version=report.server_version,
        embedded=store.embedded,
        durability=_DURABILITIES[report.durability] if known else pb.DURABILITY_UNSPECIFIED,
        used_memory_bytes=report.used_memory_bytes,
        max_memory_bytes=report.maxmemory_bytes,
        warnings=report.warnings,
        topology=pb.StoreTopology.Value(f"STORE_TOPOLOGY_{report.topology.name}"),
        primaries=report.primaries,
        format=store.format,
    )


def _script(timing: ScriptTiming) -> pb.ScriptTiming:
    return pb.ScriptTiming(
        name=timing.name,
        calls=timing.calls,
        jobs=timing.jobs,
        mean=_seconds(timing.mean_s),
        max=_seconds(timing.max_s),
    )


def _seconds(value: float) -> Duration:
    whole = Duration()
    whole.FromNanoseconds(round(value * 1e9))
    return whole
