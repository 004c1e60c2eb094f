"""The threaded client on gRPC's fake channel: what it sends and how it takes each answer, with no server."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import grpc
import grpc_testing
import pytest

from relay.v1 import queue_service_pb2
from relay_client import Client, DeadlineExceeded, Enqueued, QueueFull
from tests.unit.client.scripts import refuse

SERVICE = queue_service_pb2.DESCRIPTOR.services_by_name["QueueService"]
ENQUEUE = SERVICE.methods_by_name["Enqueue"]
BATCH = SERVICE.methods_by_name["EnqueueBatch"]


@pytest.fixture
def channel() -> grpc_testing.Channel:
    return grpc_testing.channel([SERVICE], grpc_testing.strict_real_time())


@pytest.fixture
def client(channel: grpc_testing.Channel) -> Iterator[Client]:
    with Client("localhost:1", token="secret", _open_channel=lambda _target: channel) as client:
        yield client


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def test_the_request_and_its_answer(
    channel: grpc_testing.Channel, client: Client, pool: ThreadPoolExecutor
) -> None:
    future = pool.submit(client.enqueue, "emails", "welcome", {"to": "a"}, delay="5m", priority=3)
    metadata, request, rpc = channel.take_unary_unary(ENQUEUE)
    assert ("authorization", "Bearer secret") in metadata
    assert (request.queue, request.job.type, request.job.payload, request.job.priority) == (
        "emails",
        "welcome",
        b'{"to":"a"}',
        3,
    )
    assert request.job.delay.ToTimedelta() == timedelta(minutes=5)
    answer = queue_service_pb2.EnqueueResponse(job_id="holder", deduplicated=True)
    rpc.terminate(answer, (), grpc.StatusCode.OK, "")
    assert future.result(10) == Enqueued("holder", deduplicated=True)


def test_unavailable_is_repeated_with_the_same_job(
    channel: grpc_testing.Channel, client: Client, pool: ThreadPoolExecutor
) -> None:
    future = pool.submit(client.enqueue, "q", "t")
    _, first, rpc = channel.take_unary_unary(ENQUEUE)
    rpc.terminate(None, (), grpc.StatusCode.UNAVAILABLE, "connection reset")
    _, second, rpc = channel.take_unary_unary(ENQUEUE)
    assert first == second
    rpc.terminate(queue_service_pb2.EnqueueResponse(job_id=second.job.id), (), grpc.StatusCode.OK, "")
    assert future.result(10) == Enqueued(first.job.id)


def test_a_refusal_carries_its_details(
    channel: grpc_testing.Channel, client: Client, pool: ThreadPoolExecutor
) -> None:
    future = pool.submit(client.enqueue, "q", "t")
    _, _, rpc = channel.take_unary_unary(ENQUEUE)
    status = refuse(grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL", retry_after=3).status
    trailers = (("grpc-status-details-bin", status.SerializeToString()),)
    rpc.terminate(None, trailers, grpc.StatusCode.RESOURCE_EXHAUSTED, "full")
    error = future.exception(10)
    assert isinstance(error, QueueFull)
    assert (error.reason, error.retry_after) == ("QUEUE_FULL", 3)


def test_details_that_are_not_ours_do_no_harm(
    channel: grpc_testing.Channel, client: Client, pool: ThreadPoolExecutor
) -> None:
    future = pool.submit(client.enqueue, "q", "t")
    _, _, rpc = channel.take_unary_unary(ENQUEUE)
    rpc.terminate(
        None, (("grpc-status-details-bin", b"\xff\xff"),), grpc.StatusCode.DEADLINE_EXCEEDED, "late"
    )
    assert isinstance(future.exception(10), DeadlineExceeded)


def test_a_bulk_is_one_request_with_an_id(
    channel: grpc_testing.Channel, client: Client, pool: ThreadPoolExecutor
) -> None:
    future = pool.submit(client.enqueue_batch, "q", [("a", 1), ("b", 2)])
    _, request, rpc = channel.take_unary_unary(BATCH)
    assert [job.type for job in request.jobs] == ["a", "b"]
    assert len(request.request_id) == 36
    answer = queue_service_pb2.EnqueueBatchResponse()
    for job in request.jobs:
        answer.results.add(job_id=job.id)
    rpc.terminate(answer, (), grpc.StatusCode.OK, "")
    assert future.result(10) == [Enqueued(job.id) for job in request.jobs]
