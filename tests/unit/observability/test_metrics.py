"""What a scraper reads, and what the hot path pays for it."""

from prometheus_client.parser import text_string_to_metric_families

from relay_server.engine.scripts import Observer
from relay_server.model import Acked, ClaimedJob, LeaseWord, QueueSnapshot, Settings
from relay_server.observability.distributions import Milliseconds, QueueLabels
from relay_server.observability.metrics import Metrics
from relay_server.observability.queue_totals import COUNTERS, QueueTotals

SETTINGS = Settings(rate=0, burst=0, priority_step_ms=3_600_000, max_jobs=0, max_expirations=3)


def snapshot(
    queue: str, *, ready: int = 0, age_ms: int = 0, paused: bool = False, **counters: int
) -> QueueSnapshot:
    return QueueSnapshot(
        queue=queue,
        now_ms=1,
        ready=ready,
        delayed=2,
        inflight=3,
        dead=4,
        oldest_ready_ms=age_ms,
        paused=paused,
        settings=SETTINGS,
        counters=counters,
    )


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """What the text format holds, by name and labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(metrics.exposition().decode())
        for sample in family.samples
    }


def claimed(waited_ms: int) -> ClaimedJob:
    return ClaimedJob(b"", 1, 1, 1, waited_ms, b"")


def test_queues_are_exposed_as_they_were_sampled() -> None:
    metrics = Metrics()
    metrics.sampled([snapshot("a", ready=5, age_ms=1500, paused=True, enqueued=7, stale=2)])
    found = samples(metrics)
    queue = ("queue", "a")
    assert found["relay_queue_jobs", (queue, ("state", "ready"))] == 5
    assert found["relay_queue_jobs", (queue, ("state", "dead"))] == 4
    assert found["relay_queue_oldest_ready_age_seconds", (queue,)] == 1.5
    assert found["relay_queue_paused", (queue,)] == 1
    assert found["relay_jobs_enqueued_total", (queue,)] == 7
    assert found["relay_stale_settles_total", (queue,)] == 2
    assert found["relay_jobs_dead_total", (queue,)] == 0
    metrics.sampled([])
    assert ("relay_queue_paused", (queue,)) not in samples(metrics), "a forgotten queue disappears"


def test_every_counter_of_the_contract_has_a_metric() -> None:
    from relay.v1 import admin_service_pb2

    assert set(COUNTERS) == {field.name for field in admin_service_pb2.QueueCounters.DESCRIPTOR.fields}


def test_every_metric_has_a_help_text_and_a_name_of_ours() -> None:
    metrics = Metrics()
    metrics.sampled([snapshot("a")])
    for family in metrics.registry.collect():
        assert family.documentation, family.name
        assert family.name.startswith(("relay_", "process_")), family.name


def test_the_sample_s_age_tells_when_the_store_is_away() -> None:
    now = 10.0
    totals = QueueTotals(QueueLabels(), clock=lambda: now)
    names = {family.name for family in totals.collect()}
    assert "relay_sample_age_seconds" not in names
    totals.update([])
    now = 40.0
    (age,) = [family for family in totals.collect() if family.name == "relay_sample_age_seconds"]
    assert age.samples[0].value == 30


def test_waits_and_runs_fall_into_buckets_of_seconds() -> None:
    metrics = Metrics()
    metrics.claimed("a", [claimed(0), claimed(1), claimed(2), claimed(10**9)])
    metrics.acked("a", [Acked(LeaseWord.OK, 1500), Acked(LeaseWord.GONE, -1)])
    found = samples(metrics)
    queue = ("queue", "a")
    assert found["relay_job_wait_seconds_bucket", (("le", "0.001"), queue)] == 2
    assert found["relay_job_wait_seconds_bucket", (("le", "0.005"), queue)] == 3
    assert found["relay_job_wait_seconds_bucket", (("le", "7200"), queue)] == 3
    assert found["relay_job_wait_seconds_bucket", (("le", "+Inf"), queue)] == 4
    assert found["relay_job_wait_seconds_count", (queue,)] == 4
    assert found["relay_job_wait_seconds_sum", (queue,)] == 1_000_000.003
    assert found["relay_job_run_seconds_count", (queue,)] == 1
    assert found["relay_job_run_seconds_sum", (queue,)] == 1.5


def test_labels_stay_bounded_whatever_names_queues_have() -> None:
    labels = QueueLabels(most=2)
    histogram = Milliseconds("x", "x.", labels)
    for i in range(50):
        histogram.observe(f"q{i}", [1])
    (family,) = histogram.collect()
    assert {sample.labels["queue"] for sample in family.samples} == {"q0", "q1", "other"}
    counts = {s.labels["queue"]: s.value for s in family.samples if s.name == "x_count"}
    assert counts == {"q0": 1, "q1": 1, "other": 48}

    totals = QueueTotals(labels)
    totals.update([snapshot("q0", ready=1), snapshot("new", ready=2, age_ms=9), snapshot("newer", ready=3)])
    jobs = next(family for family in totals.collect() if family.name == "relay_queue_jobs")
    ready = {s.labels["queue"]: s.value for s in jobs.samples if s.labels["state"] == "ready"}
    assert ready == {"q0": 1, "other": 5}


def test_scripts_batches_calls_loops_and_streams() -> None:
    metrics = Metrics()
    observer: Observer = metrics.observe_script  # the shape the engine asks for
    observer("claim", 0.002, 10)
    observer("claim", 0.004, 30)
    metrics.observe_batch("ack", 200)
    metrics.set_streams(7)
    metrics.grpc_handled("/relay.v1.QueueService/Ack", "OK", 0.01)
    metrics.loop_ran("reaper", failed=True)
    metrics.loop_ran("reaper", failed=False)
    found = samples(metrics)
    assert found["relay_script_seconds_count", (("script", "claim"),)] == 2
    assert found["relay_batch_jobs_bucket", (("le", "200.0"), ("operation", "ack"))] == 1
    assert found["relay_batch_jobs_bucket", (("le", "100.0"), ("operation", "ack"))] == 0
    assert found["relay_streams", ()] == 7
    method = ("method", "/relay.v1.QueueService/Ack")
    assert found["relay_grpc_handled_total", (("code", "OK"), method)] == 1
    assert found["relay_grpc_seconds_count", (method,)] == 1
    assert found["relay_loop_runs_total", (("loop", "reaper"),)] == 2
    assert found["relay_loop_failures_total", (("loop", "reaper"),)] == 1
    (timing,) = metrics.script_timings()
    assert (timing.name, timing.calls, timing.jobs, timing.mean_s, timing.max_s) == (
        "claim",
        2,
        40,
        0.003,
        0.004,
    )
