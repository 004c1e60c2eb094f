"""Every workload of `make bench` runs, on a few jobs, and counts exactly its own jobs."""

import pytest

from benchmarks.workloads import WORKLOADS

JOBS = 300


@pytest.mark.parametrize("name", sorted(WORKLOADS))
def test_a_workload_accounts_for_all_its_jobs(name: str) -> None:
    workload, _, _ = WORKLOADS[name]
    figures = workload(JOBS)  # ends the process when a job is missing or counted twice
    assert figures["jobs"] == JOBS
