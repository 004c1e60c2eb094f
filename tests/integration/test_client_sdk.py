"""Both clients of the Python SDK against the real server program, also while it is killed and started again."""

import asyncio
import itertools
import threading
from collections import Counter

import grpc
import pytest

from relay.v1 import admin_service_pb2, admin_service_pb2_grpc
from relay_client import AsyncClient, Client, Enqueued, IdempotencyMismatch, InvalidField, RelayError
from relay_client.ids import new_id
from tests.support.relay import server_program


async def ready(address: str, queue: str) -> int:
    async with grpc.aio.insecure_channel(address) as channel:
        stub = admin_service_pb2_grpc.AdminServiceStub(channel)
        answer = await stub.Stats(admin_service_pb2.StatsRequest(queue=queue))
    return answer.queues[0].ready


def use_threaded_client(address: str) -> None:
    with Client(address) as client:
        first = client.enqueue("sync", "t", {"n": 1}, idempotency_key="k")
        again = client.enqueue("sync", "t", {"n": 1}, idempotency_key="k")
        assert again == Enqueued(first.id, deduplicated=True)
        with pytest.raises(IdempotencyMismatch) as caught:
            client.enqueue("sync", "t", {"n": 2}, idempotency_key="k")
        assert caught.value.job_id == first.id
        with pytest.raises(InvalidField) as invalid:
            client.enqueue("sync", "")
        assert [violation.field for violation in invalid.value.violations] == ["job.type"]
        results = client.enqueue_batch(
            "sync",
            [
                ("t", 1),
                ("", 2),
                {"type": "t", "payload": 3, "idempotency_key": "k"},
                ("t", bytes(2 << 20)),
                ("t", 5),
            ],
        )
        assert [type(result) for result in results[:3]] == [Enqueued, InvalidField, IdempotencyMismatch]
        assert isinstance(results[3], RelayError)
        assert isinstance(results[4], Enqueued)


async def test_threaded_client(redis_url: str) -> None:
    async with server_program("--redis-url", redis_url) as server:
        await asyncio.to_thread(use_threaded_client, server.address)
        assert await ready(server.address, "sync") == 3


async def test_asyncio_client(redis_url: str) -> None:
    async with server_program("--redis-url", redis_url) as server, AsyncClient(server.address) as client:
        results = await asyncio.gather(
            *(client.enqueue("async", "" if n == 77 else "t", n) for n in range(300)), return_exceptions=True
        )
        assert Counter(type(result) for result in results) == {Enqueued: 299, InvalidField: 1}
        assert isinstance(results[77], InvalidField)
        many = await client.enqueue_batch("async", (("t", n) for n in range(1234)))
        assert all(isinstance(result, Enqueued) for result in many)
        assert await ready(server.address, "async") == 299 + 1234


async def test_repeating_an_enqueue_makes_no_second_job(redis_url: str) -> None:
    async with server_program("--redis-url", redis_url) as server, AsyncClient(server.address) as client:
        job_id = new_id()
        for _ in range(3):
            assert await client.enqueue("q", "t", job_id=job_id) == Enqueued(job_id)
        assert await ready(server.address, "q") == 1


async def test_producers_live_through_the_death_of_the_server(redis_url: str) -> None:
    accepted: list[str] = []
    failures: list[BaseException] = []
    stop = threading.Event()

    def produce(client: Client) -> None:
        try:
            for n in itertools.count():
                if stop.is_set():
                    return
                accepted.append(client.enqueue("q", "t", n).id)
        except BaseException as error:  # noqa: BLE001  # the test reports it
            failures.append(error)

    async def more_than(count: int) -> None:
        async with asyncio.timeout(30):
            while len(accepted) <= count and not failures:  # noqa: ASYNC110  # the producers are threads
                await asyncio.sleep(0.01)

    async with server_program("--redis-url", redis_url) as first:
        client = Client(first.address)
        threads = [threading.Thread(target=produce, args=(client,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        await more_than(50)
        first.kill()
        await first.exit_code()
    before = len(accepted)
    async with server_program("--redis-url", redis_url, "--listen", first.address) as second:
        await more_than(before + 50)
        stop.set()
        for thread in threads:
            await asyncio.to_thread(thread.join)
        client.close()
        assert not failures
        assert len(set(accepted)) == len(accepted)
        # Neither lost nor made twice by a repeat.
        assert await ready(second.address, "q") == len(accepted)
