"""What a refused batch means for each of its jobs, and how many jobs are cut into calls."""

from collections.abc import Iterator

import pytest

from relay.v1 import queue_service_pb2
from relay_client._batches import BULK_BYTES_MAX, Bulk, sort_out, to_request, to_results
from relay_client.errors import (
    IdempotencyMismatch,
    InvalidField,
    Overloaded,
    QueueFull,
    RelayError,
    TooLarge,
    Unavailable,
    Violation,
)
from relay_client.jobs import Enqueued, JobSpec, to_wire
from relay_client.limits import BATCH_JOBS_MAX


def test_named_jobs_are_blamed_and_the_rest_goes_again() -> None:
    error = InvalidField(
        "bad",
        violations=[Violation("jobs[1].type", "is required"), Violation("jobs[1].priority", "too high")],
    )
    refused, groups = sort_out(error, 3)
    assert groups == [[0, 2]]
    assert list(refused) == [1]
    blamed = refused[1]
    assert blamed.violations == (
        Violation("job.type", "is required"),
        Violation("job.priority", "too high"),
    )
    assert str(blamed) == "job.type: is required; job.priority: too high"


def test_when_all_are_blamed_nothing_goes_again() -> None:
    error = InvalidField("bad", violations=[Violation(f"jobs[{i}].type", "x") for i in range(2)])
    refused, groups = sort_out(error, 2)
    assert (sorted(refused), groups) == ([0, 1], [])


@pytest.mark.parametrize("error", [TooLarge("big"), InvalidField("bad")])
def test_an_unnamed_culprit_is_found_by_halving(error: RelayError) -> None:
    assert sort_out(error, 5) == ({}, [[0, 1], [2, 3, 4]])
    assert sort_out(error, 1) == ({0: error}, [])


@pytest.mark.parametrize(
    "error",
    [
        Unavailable("down"),
        Overloaded("busy"),
        InvalidField("bad", violations=[Violation("queue", "bad name")]),
        InvalidField("bad", violations=[Violation("jobs[7].type", "beyond the batch")]),
    ],
)
def test_what_concerns_the_call_fails_it_as_a_whole(error: RelayError) -> None:
    with pytest.raises(type(error)):
        sort_out(error, 3)


@pytest.mark.parametrize("error", [QueueFull("full"), IdempotencyMismatch("other")])
def test_a_single_job_keeps_its_own_refusal(error: RelayError) -> None:
    assert sort_out(error, 1) == ({0: error}, [])


def test_an_answer_of_another_length_is_an_error() -> None:
    jobs = [to_wire(JobSpec(type="t"))]
    with pytest.raises(RelayError, match="0 results for 1 jobs"):
        to_results(queue_service_pb2.EnqueueBatchResponse(), jobs)


def test_chunks_keep_both_limits_of_the_contract() -> None:
    bulk = Bulk()
    small = [JobSpec(type="t") for _ in range(1200)]
    assert [len(chunk.jobs) for chunk in bulk.chunks(small)] == [500, 500, 200]
    large = [JobSpec(type="t", payload=bytes(size)) for size in (1 << 20, 1 << 20, 1 << 20, 100, 3 << 20, 1)]
    chunks = list(Bulk().chunks(large))
    assert [chunk.places for chunk in chunks] == [[0, 1], [2, 3], [4], [5]]
    for chunk in chunks:
        if len(chunk.jobs) > 1:
            assert to_request("q" * 128, chunk.jobs).ByteSize() <= 3 << 20
    exact = [JobSpec(type="t", payload=bytes(20_000)) for _ in range(400)]
    for chunk in Bulk().chunks(exact):
        assert len(chunk.jobs) <= BATCH_JOBS_MAX
        assert to_request("q" * 128, chunk.jobs).ByteSize() <= 3 << 20
        assert chunk.size <= BULK_BYTES_MAX


def test_jobs_are_taken_only_as_they_are_sent() -> None:
    taken = 0

    def jobs() -> Iterator[JobSpec]:
        nonlocal taken
        for taken in range(1, 10_001):  # noqa: B007  # counts
            yield JobSpec(type="t")

    next(Bulk().chunks(jobs()))
    assert taken == 501


def test_a_job_that_cannot_be_sent_has_its_error_in_its_place() -> None:
    bulk = Bulk()
    (chunk,) = bulk.chunks([("t", 1), ("t", {1}), ("t", 3)])
    bulk.settle(chunk, [Enqueued("a"), Enqueued("b")])
    first, second, third = bulk.results()
    assert (first, third) == (Enqueued("a"), Enqueued("b"))
    assert isinstance(second, InvalidField)
    assert "payload: set is not JSON" in str(second)


def test_a_failed_call_stops_the_run_and_every_job_after_it_says_why() -> None:
    bulk = Bulk()
    cut = bulk.chunks(("t", i) for i in range(1200))
    chunk = next(cut)
    assert bulk.may_send(chunk)
    bulk.settle(chunk, Unavailable("down"))
    assert not any(bulk.may_send(late) for late in cut)
    results = bulk.results()
    assert len(results) == 1200
    assert all(isinstance(result, Unavailable) for result in results)
    assert len({id(result) for result in results}) == 1200
