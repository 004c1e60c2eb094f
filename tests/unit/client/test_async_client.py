"""The asyncio client against a server on a real socket."""

import asyncio
import time
from collections.abc import AsyncIterator

import grpc
import pytest

from relay.v1 import queue_service_pb2
from relay_client import (
    AsyncClient,
    DeadlineExceeded,
    Enqueued,
    InvalidField,
    QueueFull,
    RelayError,
    Unavailable,
)
from relay_conformance.scripted import Refuse
from tests.unit.client.scripts import UNAVAILABLE, QueueScript, Request, refuse


@pytest.fixture
async def client(server: str) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(server) as client:
        yield client


async def seen(queue: QueueScript, count: int) -> None:
    await asyncio.to_thread(queue.wait_for_calls, count)


async def waiting(client: AsyncClient, count: int) -> None:
    core = client._core
    assert core is not None
    async with asyncio.timeout(10):
        while len(core.coalescer._lines.get("q", ())) != count:  # noqa: ASYNC110  # no event tells the length of the line
            await asyncio.sleep(0)


async def test_a_lone_call_is_a_plain_enqueue(queue: QueueScript, client: AsyncClient) -> None:
    results = [await client.enqueue("q", "t", n) for n in range(5)]
    assert [type(request) for request in queue.requests()] == [queue_service_pb2.EnqueueRequest] * 5
    assert [result.id for result in results] == list(queue.job_ids())


async def test_concurrent_calls_share_rpcs_and_each_gets_its_own_answer(
    queue: QueueScript, client: AsyncClient
) -> None:
    results = await asyncio.gather(*(client.enqueue("q", f"t{n}") for n in range(1200)))
    sent = {
        job.type: job.id
        for request in queue.requests()
        for job in (
            request.jobs if isinstance(request, queue_service_pb2.EnqueueBatchRequest) else [request.job]
        )
    }
    assert [result.id for result in results] == [sent[f"t{n}"] for n in range(1200)]
    assert len(queue.requests()) <= 4


async def test_a_cancelled_caller_takes_only_its_own_job_out_of_the_line(
    queue: QueueScript, client: AsyncClient
) -> None:
    queue.gate.clear()
    first = asyncio.create_task(client.enqueue("q", "first"))
    await seen(queue, 1)
    others = [asyncio.create_task(client.enqueue("q", f"t{n}")) for n in range(5)]
    await waiting(client, 5)
    others[2].cancel()
    first.cancel()
    await asyncio.wait([others[2], first])
    queue.gate.set()
    kept = await asyncio.gather(*others[:2], *others[3:])
    assert all(isinstance(result, Enqueued) for result in kept)
    (batch,) = queue.batches()
    assert [job.type for job in batch.jobs] == ["t0", "t1", "t3", "t4"]


async def test_a_caller_cancelled_while_its_batch_is_on_the_way_harms_nobody(
    queue: QueueScript, client: AsyncClient
) -> None:
    queue.gate.clear()
    tasks = [asyncio.create_task(client.enqueue("q", f"t{n}")) for n in range(5)]
    await seen(queue, 1)
    tasks[0].cancel()
    queue.gate.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [asyncio.CancelledError, *[Enqueued] * 4]
    assert set(queue.job_ids().values()) == {1}


async def test_a_bad_job_does_not_harm_those_it_travels_with(queue: QueueScript, client: AsyncClient) -> None:
    def refuse_bad(request: Request) -> Refuse | None:
        jobs = request.jobs if isinstance(request, queue_service_pb2.EnqueueBatchRequest) else [request.job]
        if any(job.type == "bad" for job in jobs):
            return refuse(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
        return None

    queue.rule = refuse_bad
    results = await asyncio.gather(
        *(client.enqueue("q", "bad" if n == 6 else "good") for n in range(10)), return_exceptions=True
    )
    assert [type(result) for result in results] == [*[Enqueued] * 6, InvalidField, *[Enqueued] * 3]


async def test_a_call_is_repeated_with_the_same_ids(queue: QueueScript, client: AsyncClient) -> None:
    queue.faults.extend([UNAVAILABLE, UNAVAILABLE])
    result = await client.enqueue("q", "t")
    assert queue.job_ids() == {result.id: 3}
    queue.faults.append(UNAVAILABLE)
    await client.enqueue_batch("q", [("t", 1), ("t", 2)])
    first, second = queue.batches()
    assert first == second


async def test_what_does_not_pass_is_raised_at_once(queue: QueueScript, client: AsyncClient) -> None:
    queue.faults.append(refuse(grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL", retry_after=2))
    with pytest.raises(QueueFull) as caught:
        await client.enqueue("q", "t")
    assert (caught.value.retry_after, len(queue.requests())) == (2, 1)


async def test_deadlines_tell_what_was_sent(queue: QueueScript, client: AsyncClient) -> None:
    queue.gate.clear()
    first = asyncio.create_task(client.enqueue("q", "t", timeout="600ms"))
    await seen(queue, 1)
    with pytest.raises(DeadlineExceeded, match="the job was not sent"):
        await client.enqueue("q", "t", timeout="100ms")
    with pytest.raises(DeadlineExceeded):
        await first
    queue.gate.set()
    await client.enqueue("q", "t")
    assert len(queue.requests()) == 2


async def test_the_next_target_takes_over(queue: QueueScript, server: str) -> None:
    with QueueScript().serving() as dead:
        pass
    for _ in range(4):  # the order is random
        async with AsyncClient(f"{dead},{server}") as client:
            await client.enqueue("q", "t")
    assert len(queue.requests()) == 4
    async with AsyncClient(dead, timeout="300ms") as client:
        start = time.monotonic()
        with pytest.raises(Unavailable):
            await client.enqueue("q", "t")
        assert time.monotonic() - start < 5


async def test_bulk_is_cut_and_answered_in_order(queue: QueueScript, client: AsyncClient) -> None:
    progress: list[int] = []
    results = await client.enqueue_batch("q", (("t", n) for n in range(1700)), progress=progress.append)
    by_payload = {job.payload: job.id for batch in queue.batches() for job in batch.jobs}
    assert results == [Enqueued(by_payload[str(n).encode()]) for n in range(1700)]
    assert sorted(len(batch.jobs) for batch in queue.batches()) == [200, 500, 500, 500]
    assert progress == sorted(progress)
    assert progress[-1] == 1700


async def test_bulk_stops_at_the_first_call_that_fails_as_a_whole(
    queue: QueueScript, client: AsyncClient
) -> None:
    queue.rule = lambda _request: refuse(grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED")
    results = await client.enqueue_batch("q", (("t", n) for n in range(10_000)))
    assert len(results) == 10_000
    assert {result.reason for result in results if isinstance(result, RelayError)} == {"UNAUTHENTICATED"}
    assert not any(isinstance(result, Enqueued) for result in results)
    assert len(queue.requests()) <= 5


async def test_close_ends_calls_in_flight_and_leaves_no_task(queue: QueueScript, server: str) -> None:
    before = asyncio.all_tasks()
    queue.gate.clear()
    client = AsyncClient(server)
    calls = [asyncio.create_task(client.enqueue("q", "t")) for _ in range(3)]
    await seen(queue, 1)
    calls.append(asyncio.create_task(client.enqueue("q", "t")))
    late = asyncio.create_task(client.enqueue("other", "t"))
    await waiting(client, 1)
    await client.close()
    results = await asyncio.gather(*calls, late, return_exceptions=True)
    assert [type(result) for result in results] == [RelayError] * 5
    assert asyncio.all_tasks() == before
    await client.close()
    with pytest.raises(RelayError, match="this client is closed"):
        await client.enqueue("q", "t")


def test_it_belongs_to_one_loop(server: str) -> None:
    client = AsyncClient(server)
    asyncio.run(client.enqueue("q", "t"))
    with pytest.raises(RuntimeError, match="belongs to one event loop"):
        asyncio.run(client.enqueue("q", "t"))
