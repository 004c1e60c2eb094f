"""Killing a handler's process hits no other job."""

from unittest.mock import Mock

from relay_worker.cpu_pool import CpuPool, _Process


def test_a_kill_that_comes_late_spares_the_next_job() -> None:
    pool, first, second = CpuPool(), Mock(), Mock()
    worker = _Process(Mock(), Mock(), first)
    pool._kill(worker, first)
    assert worker.process.kill.call_count == 1  # type: ignore[attr-defined]
    pool._give(worker, healthy=True)
    pool._kill(worker, first)
    worker.job = second
    pool._kill(worker, first)
    assert worker.process.kill.call_count == 1  # type: ignore[attr-defined]
