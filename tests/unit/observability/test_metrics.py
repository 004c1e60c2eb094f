"""What a scraper reads, and what the hot path pays for it."""

from collections.abc import Iterable

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from relay_server.engine.scripts import Observer
from relay_server.model import Acked, ClaimedJob, QueueSnapshot, Settings
from relay_server.observability.distributions import Milliseconds, QueueLabels
from relay_server.observability.metrics import Metrics
from relay_server.observability.queue_totals import COUNTERS, QueueTotals
from relay_server.words import LeaseWord

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
        unreadable=0,
        oldest_ready_ms=age_ms,
        paused=paused,
        settings=SETTINGS,
        counters=counters,
    )


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """What the text format holds, by name and labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families("".join(metrics.parts()))
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
    for family in text_string_to_metric_families("".join(metrics.parts())):
        assert family.documentation, family.name
        assert family.name.startswith(("relay_", "process_")), family.name


def families(parts: Iterable[str]) -> dict[str, Metric]:
    return {family.name: family for family in text_string_to_metric_families("".join(parts))}


def test_the_sample_s_age_tells_when_the_store_is_away() -> None:
    now = 10.0
    totals = QueueTotals(QueueLabels(), clock=lambda: now)
    assert "relay_sample_age_seconds" not in families(totals.parts())
    totals.update([])
    now = 40.0
    assert families(totals.parts())["relay_sample_age_seconds"].samples[0].value == 30


def test_waits_and_runs_fall_into_buckets_of_seconds() -> None:
    metrics = Metrics()
    metrics.claimed("a", [claimed(0), claimed(1), claimed(2), claimed(10**9)])
    metrics.acked("a", [Acked(LeaseWord.OK, 1500), Acked(LeaseWord.GONE, -1)])
    found = samples(metrics)
    queue = ("queue", "a")
    assert found["relay_job_wait_seconds_bucket", (("le", "0.005"), queue)] == 3
    assert found["relay_job_wait_seconds_bucket", (("le", "3600"), queue)] == 3
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
    (family,) = families(histogram.parts()).values()
    assert {sample.labels["queue"] for sample in family.samples} == {"q0", "q1", "other"}
    counts = {s.labels["queue"]: s.value for s in family.samples if s.name == "x_count"}
    assert counts == {"q0": 1, "q1": 1, "other": 48}

    totals = QueueTotals(labels)
    totals.update([snapshot("q0", ready=1), snapshot("new", ready=2, age_ms=9), snapshot("newer", ready=3)])
    totals.update([*totals._sample, snapshot("old", ready=4, acked=2), snapshot("older", acked=3)])
    found = families(totals.parts())
    jobs = found["relay_queue_jobs"]
    ready = {s.labels["queue"]: s.value for s in jobs.samples if s.labels["state"] == "ready"}
    assert ready == {"q0": 1, "other": 9}
    acked = {s.labels["queue"]: s.value for s in found["relay_jobs_acked"].samples}
    assert acked == {"q0": 0, "other": 5}
    age = {s.labels["queue"]: s.value for s in found["relay_queue_oldest_ready_age_seconds"].samples}
    assert age == {"q0": 0, "other": 0.009}
    paused = {s.labels["queue"] for s in found["relay_queue_paused"].samples}
    assert paused == {"q0"}


def test_the_label_of_a_queue_that_is_gone_is_another_s() -> None:
    metrics = Metrics(queues_max=1)
    metrics.claimed("first", [claimed(1)])
    metrics.sampled([snapshot("first"), snapshot("second")])
    metrics.claimed("second", [claimed(1)])
    metrics.sampled([snapshot("second")])
    metrics.claimed("first", [claimed(1)])
    assert samples(metrics)["relay_job_wait_seconds_count", (("queue", "first"),)] == 2, (
        "new, or really gone?"
    )
    metrics.sampled([snapshot("second")])
    metrics.claimed("second", [claimed(1)])
    found = samples(metrics)
    assert ("relay_job_wait_seconds_count", (("queue", "first"),)) not in found
    assert found["relay_job_wait_seconds_count", (("queue", "second"),)] == 1
    assert found["relay_job_wait_seconds_count", (("queue", "other"),)] == 1


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
    metrics.loop_moved("reaper", {"reaped": 3, "buried": 0})
    metrics.loop_moved("reaper", {"reaped": 2, "buried": 0})
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
    assert found["relay_loop_jobs_total", (("loop", "reaper"), ("what", "reaped"))] == 5
    assert found["relay_loop_jobs_total", (("loop", "reaper"), ("what", "buried"))] == 0
    (timing,) = metrics.script_timings()
    assert (timing.name, timing.calls, timing.jobs, timing.mean_s, timing.max_s) == (
        "claim",
        2,
        40,
        0.003,
        0.004,
    )
