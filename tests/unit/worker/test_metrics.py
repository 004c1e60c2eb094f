"""A worker's metrics do not grow with what producers send."""

from prometheus_client import generate_latest

from relay_worker.metrics import OTHER, WorkerMetrics


def test_types_without_a_handler_count_together() -> None:
    metrics = WorkerMetrics({"known"}.__contains__)
    for job_type in ("known", "a", "b", "c"):
        metrics.ended(job_type, 0.1)
        metrics.settled(job_type, "dead")
    text = generate_latest(metrics.registry).decode()
    assert f'relay_worker_jobs_total{{outcome="dead",type="{OTHER}"}} 3.0' in text
    assert 'relay_worker_run_seconds_count{type="known"} 1.0' in text
    assert 'type="a"' not in text
