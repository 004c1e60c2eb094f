"""Relay in ten short tests, through the stubs that `proto/relay/v1` generates. Read it from top to bottom.

A producer enqueues jobs; a worker claims them under a lease and says how each went. `relay` is a real server on a
real Redis, `Claimer` (tests/support/relay/claimer.py) the smallest thing that can be called a worker.
"""

import pytest

from relay.v1 import admin_service_pb2, dead_letter_service_pb2, job_pb2
from relay.v1 import queue_service_pb2 as pb
from tests.support.relay import Relay, eventually, refusal, seconds

pytestmark = pytest.mark.every_server


async def test_1_a_job_is_enqueued_claimed_and_acked(relay: Relay) -> None:
    """The whole life of a job that goes well.

    A queue needs no declaration: it is there from its first job. The payload is bytes that only the producer and the
    handler understand. A claim is a stream: it waits for jobs that do not exist yet.
    """
    worker = await relay.claimer("emails")

    made = await relay.queue.Enqueue(
        pb.EnqueueRequest(queue="emails", job=job_pb2.JobSpec(type="welcome", payload=b'{"to": "ada"}'))
    )

    (held,) = await worker.take(1)
    assert held.job.job.id == made.job_id
    assert held.job.job.type == "welcome"
    assert held.job.job.payload == b'{"to": "ada"}'
    assert held.job.attempt == 1

    assert await worker.ack(held) == [pb.LEASE_OUTCOME_OK]
    # It is gone. Saying so again does no harm, and says what happened.
    assert await worker.ack(held) == [pb.LEASE_OUTCOME_GONE]


async def test_2_a_job_that_fails_is_tried_again(relay: Relay) -> None:
    """Nack RETRY gives a failed job back. It waits for its backoff, then comes again with the next attempt number."""
    worker = await relay.claimer("emails")
    await relay.enqueue(
        "emails", job_pb2.JobSpec(type="welcome", retry=job_pb2.RetryPolicy(initial_backoff=seconds(0.05)))
    )
    (held,) = await worker.take(1)

    (result,) = await worker.nack(held, error=job_pb2.JobError(type="SmtpError", message="no route to host"))

    assert result.outcome == pb.LEASE_OUTCOME_OK
    assert result.delay.ToMilliseconds() <= 50  # full jitter: anything from nothing to the backoff
    (again,) = await worker.take(1)
    assert again.id == held.id
    assert again.job.attempt == 2
    assert again.token != held.token  # each claim is a new lease; the old token opens nothing any more
    assert await worker.ack(held) == [pb.LEASE_OUTCOME_LEASE_LOST]
    assert await worker.ack(again) == [pb.LEASE_OUTCOME_OK]


async def test_3_a_job_that_keeps_failing_becomes_a_dead_letter(relay: Relay) -> None:
    """When `max_attempts` are used up, or a worker says DEAD, the job is set aside for an operator, not lost."""
    worker = await relay.claimer("emails")
    hopeless = job_pb2.JobSpec(type="welcome", retry=job_pb2.RetryPolicy(max_attempts=1))
    malformed = job_pb2.JobSpec(type="welcome", payload=b"\xff")
    await relay.enqueue("emails", hopeless, malformed)
    first, second = await worker.take(2)

    (result,) = await worker.nack(first, kind=pb.NACK_KIND_RETRY)
    assert result.state == job_pb2.JOB_STATE_DEAD  # that was its only attempt
    (result,) = await worker.nack(second, kind=pb.NACK_KIND_DEAD)
    assert result.state == job_pb2.JOB_STATE_DEAD  # the worker knows that no attempt will help

    assert (await relay.stats("emails")).dead == 2


async def test_4_a_job_may_wait_for_its_time(relay: Relay) -> None:
    """`delay` and `run_at` keep a job out of workers' sight until then."""
    worker = await relay.claimer("emails")
    await relay.enqueue("emails", job_pb2.JobSpec(type="later", delay=seconds(0.4)))
    await relay.enqueue("emails", job_pb2.JobSpec(type="now"))

    first, second = await worker.take(2)
    assert [first.job.job.type, second.job.job.type] == ["now", "later"]
    waited = (
        second.job.epoch - second.job.job.enqueue_time.ToMilliseconds()
    )  # an epoch is about its claim's time
    assert 400 <= waited < 2000


async def test_5_urgent_jobs_go_first_and_equal_ones_in_order(relay: Relay) -> None:
    """Priority is a head start, by default an hour for each point: urgent jobs overtake, and nothing waits for ever."""
    await relay.enqueue("emails", job_pb2.JobSpec(type="newsletter", priority=-1))
    await relay.enqueue("emails", job_pb2.JobSpec(type="first"))
    await relay.enqueue("emails", job_pb2.JobSpec(type="second"))
    await relay.enqueue("emails", job_pb2.JobSpec(type="password-reset", priority=5))

    worker = await relay.claimer("emails")
    order = [held.job.job.type for held in await worker.take(4)]
    assert order == ["password-reset", "first", "second", "newsletter"]


async def test_6_an_idempotency_key_makes_one_job_of_several_requests(relay: Relay) -> None:
    """The same key in the same queue makes no second job within its window, also when the first one is done."""
    order = job_pb2.JobSpec(type="invoice", payload=b"order 7", idempotency_key="order-7")
    first = await relay.queue.Enqueue(pb.EnqueueRequest(queue="emails", job=order))
    second = await relay.queue.Enqueue(pb.EnqueueRequest(queue="emails", job=order))
    assert not first.deduplicated
    assert second.deduplicated
    assert second.job_id == first.job_id

    # The same key for something else is a mistake, and told as one.
    order.payload = b"order 8"
    refused = await refusal(relay.queue.Enqueue(pb.EnqueueRequest(queue="emails", job=order)))
    assert refused.reason == "IDEMPOTENCY_MISMATCH"
    assert refused.metadata["job_id"] == first.job_id


async def test_7_a_call_whose_answer_was_lost_is_repeated(relay: Relay) -> None:
    """A producer that names its job may repeat Enqueue until it is answered: there is one job, even if it has run."""
    request = pb.EnqueueRequest(
        queue="emails", job=job_pb2.JobSpec(id="0198c0de-0000-7000-8000-000000000007", type="welcome")
    )
    worker = await relay.claimer("emails")
    first = await relay.queue.Enqueue(request)
    await worker.ack(*await worker.take(1))

    assert await relay.queue.Enqueue(request) == first
    stats = await relay.stats("emails")
    assert (stats.ready, stats.inflight, stats.counters["enqueued"]) == (0, 0, 1)


async def test_8_a_lease_lasts_as_long_as_it_is_extended(relay: Relay) -> None:
    """A worker that dies stops extending, and its job goes to another. A live one extends in time."""
    worker = await relay.claimer("emails", lease=1)
    await relay.enqueue(
        "emails", job_pb2.JobSpec(type="slow", retry=job_pb2.RetryPolicy(max_backoff=seconds(0)))
    )
    (held,) = await worker.take(1)
    assert worker.started.extend_every.ToMilliseconds() == 333

    (result,) = await worker.extend(held)
    assert result.outcome == pb.LEASE_OUTCOME_OK
    assert 900 < result.lease_remaining.ToMilliseconds() <= 1000

    # Silence: after a second the job is somebody else's, here by chance our own again.
    (again,) = await worker.take(1)
    assert again.id == held.id
    assert (
        again.job.epoch > held.job.epoch
    )  # write it beside side effects, and a late writer can be told apart
    assert [r.outcome for r in await worker.extend(held)] == [pb.LEASE_OUTCOME_LEASE_LOST]


async def test_9_a_worker_may_hand_a_job_back(relay: Relay) -> None:
    """RELEASE is for a worker that shuts down, THROTTLED for a limit elsewhere: neither uses up an attempt."""
    worker = await relay.claimer("emails")
    await relay.enqueue("emails", job_pb2.JobSpec(type="welcome"))
    (held,) = await worker.take(1)

    (result,) = await worker.nack(held, kind=pb.NACK_KIND_THROTTLED, after=0.1)

    assert result.state == job_pb2.JOB_STATE_DELAYED
    assert result.delay.ToMilliseconds() == 100
    (again,) = await worker.take(1)
    assert again.job.attempt == 1


async def test_10_an_operator_cancels_a_job(relay: Relay) -> None:
    """A waiting job is deleted. A running one cannot be: its worker is told to stop, and it never runs again."""
    worker = await relay.claimer("emails", max_in_flight=1)
    running, waiting = await relay.enqueue("emails", *[job_pb2.JobSpec(type="welcome")] * 2)
    (held,) = await worker.take(1)
    assert held.id == running

    async for _ in relay.admin.CancelJobs(_cancel("emails", running, waiting)):
        pass

    stop = (await worker.frame("cancel")).cancel.jobs[0]
    assert (stop.job_id, stop.outcome) == (running, pb.LEASE_OUTCOME_CANCELLED)
    (result,) = await worker.nack(held)  # whatever the worker answers
    assert result.outcome == pb.LEASE_OUTCOME_CANCELLED

    async def empty() -> bool:
        stats = await relay.stats("emails")
        return not stats.ready + stats.delayed + stats.inflight + stats.dead

    await eventually(empty, what="an empty queue")


def _cancel(queue: str, *ids: str) -> admin_service_pb2.CancelJobsRequest:
    return admin_service_pb2.CancelJobsRequest(queue=queue, ids=dead_letter_service_pb2.JobIds(ids=ids))
