"""The threaded client against a server on a real socket."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

import grpc
import pytest

from relay.v1 import errors_pb2, queue_service_pb2
from relay_client import Client, DeadlineExceeded, Enqueued, InvalidField, QueueFull, RelayError, Unavailable
from relay_client.errors import IdempotencyMismatch, StoreUnavailable, TooLarge
from relay_client.ids import new_id
from relay_conformance.scripted import Refuse
from tests.support.waiting import until
from tests.unit.client.scripts import UNAVAILABLE, QueueScript, Request, refuse


def closed_port() -> str:
    """An address where nobody listens."""
    with QueueScript().serving() as address:
        return address


def test_one_thread_makes_one_plain_call_a_job(queue: QueueScript, server: str) -> None:
    with Client(server) as client:
        results = [client.enqueue("q", "t", {"n": n}) for n in range(10)]
    assert [type(request) for request in queue.requests()] == [queue_service_pb2.EnqueueRequest] * 10
    assert [result.id for result in results] == list(queue.job_ids())
    assert all(UUID(result.id).version == 7 and not result.deduplicated for result in results)


def test_a_unix_socket(queue: QueueScript, tmp_path: Path) -> None:
    with queue.serving(f"unix:{tmp_path}/relay.sock") as address, Client(address) as client:
        job_id = new_id()
        assert client.enqueue("q", "t", job_id=job_id) == Enqueued(job_id)


def test_the_token_and_the_version_go_with_every_call(queue: QueueScript, server: str) -> None:
    with Client(server, token="secret") as client:
        client.enqueue("q", "t")
        client.enqueue_batch("q", [("t", 1), ("t", 2)])
    assert [call.metadata["authorization"] for call in queue.calls] == ["Bearer secret"] * 2
    assert queue.calls[0].metadata["user-agent"].startswith("relay-python/")


def test_jobs_that_come_during_a_call_share_the_next_one(queue: QueueScript, server: str) -> None:
    queue.gate.clear()
    with Client(server) as client, ThreadPoolExecutor(33) as pool:
        first = pool.submit(client.enqueue, "q", "first")
        queue.wait_for_calls(1)
        others = [pool.submit(client.enqueue, "q", f"t{n}") for n in range(32)]
        line = client._core.coalescer._lines["q"].waiting
        until(lambda: len(line) == 32)
        queue.gate.set()
        answered = [future.result(10) for future in others]
        first.result(10)
    assert len(queue.requests()) == 2
    (batch,) = queue.batches()
    sent = {job.type: job.id for job in batch.jobs}
    assert [result.id for result in answered] == [sent[f"t{n}"] for n in range(32)]
    assert UUID(batch.request_id).version == 7


def test_many_threads_need_far_fewer_calls_than_jobs(queue: QueueScript, server: str) -> None:
    with Client(server) as client, ThreadPoolExecutor(32) as pool:
        ids = list(pool.map(lambda n: client.enqueue("q", "t", n).id, range(2000)))
    assert len(set(ids)) == 2000
    assert set(queue.job_ids().values()) == {1}
    assert set(queue.job_ids()) == set(ids)
    assert len(queue.requests()) < 600


def test_queues_do_not_wait_for_one_another(queue: QueueScript, server: str) -> None:
    queue.gate.clear()
    with Client(server) as client, ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(client.enqueue, name, "t") for name in ("a", "b")]
        queue.wait_for_calls(2)
        queue.gate.set()
        assert all(future.result(10) for future in futures)


@pytest.mark.parametrize("names_the_job", [True, False])
def test_a_bad_job_does_not_harm_those_it_travels_with(
    queue: QueueScript, server: str, names_the_job: bool
) -> None:
    def refuse_bad(request: Request) -> Refuse | None:
        batch = isinstance(request, queue_service_pb2.EnqueueBatchRequest)
        jobs = list(request.jobs) if batch else [request.job]  # type: ignore[union-attr]
        bad = [i for i, job in enumerate(jobs) if job.type == "bad"]
        if not bad:
            return None
        where = {(f"jobs[{i}].type" if batch else "job.type"): "is not good" for i in bad}
        return refuse(
            grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", violations=where if names_the_job else None
        )

    queue.rule = refuse_bad
    queue.gate.clear()
    with Client(server) as client, ThreadPoolExecutor(20) as pool:
        first = pool.submit(client.enqueue, "q", "good")
        queue.wait_for_calls(1)
        futures = {n: pool.submit(client.enqueue, "q", "bad" if n in (3, 11) else "good") for n in range(16)}
        line = client._core.coalescer._lines["q"].waiting
        until(lambda: len(line) == 16)
        queue.gate.set()
        first.result(10)
        errors = {n: type(future.exception(10)) for n, future in futures.items()}
    assert errors == {n: InvalidField if n in (3, 11) else type(None) for n in range(16)}


def test_each_job_of_a_batch_has_its_own_refusal(queue: QueueScript, server: str) -> None:
    queue.job_reasons = {
        "other": errors_pb2.ERROR_REASON_IDEMPOTENCY_MISMATCH,
        "full": errors_pb2.ERROR_REASON_QUEUE_FULL,
    }
    with Client(server) as client:
        good, other, full = client.enqueue_batch(
            "q", [("t", 1), {"type": "other", "idempotency_key": "k"}, ("full", 2)]
        )
    assert isinstance(good, Enqueued)
    assert isinstance(other, IdempotencyMismatch)
    assert other.job_id == "holder"
    assert "'k' is held by job holder" in str(other)
    assert isinstance(full, QueueFull)


def test_a_call_is_repeated_with_the_same_ids_until_it_is_answered(queue: QueueScript, server: str) -> None:
    queue.faults.extend([UNAVAILABLE, refuse(grpc.StatusCode.UNAVAILABLE, "DRAINING", retry_after=0.05)])
    with Client(server) as client:
        result = client.enqueue("q", "t")
        assert queue.job_ids() == {result.id: 3}
        queue.calls.clear()
        queue.faults.append(UNAVAILABLE)
        client.enqueue_batch("q", [("t", 1), ("t", 2)])
    assert len(queue.batches()) == 2
    assert queue.batches()[0] == queue.batches()[1]
    assert queue.batches()[0].request_id


def test_the_servers_pause_is_kept(queue: QueueScript, server: str) -> None:
    queue.faults.append(refuse(grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE", retry_after=0.3))
    with Client(server) as client:
        start = time.monotonic()
        client.enqueue("q", "t")
    assert time.monotonic() - start >= 0.3


def test_what_does_not_pass_is_raised_at_once(queue: QueueScript, server: str) -> None:
    queue.faults.append(refuse(grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL", retry_after=1.5))
    with Client(server) as client, pytest.raises(QueueFull) as caught:
        client.enqueue("q", "t")
    assert caught.value.retry_after == 1.5
    assert len(queue.requests()) == 1


def test_with_no_server_it_gives_up_at_the_deadline() -> None:
    with Client(closed_port(), timeout="500ms") as client:
        start = time.monotonic()
        with pytest.raises(Unavailable):
            client.enqueue("q", "t")
        assert time.monotonic() - start < 5
        start = time.monotonic()
        results = client.enqueue_batch("q", [("t", n) for n in range(600)])
        assert time.monotonic() - start < 5
    assert [type(result) for result in results] == [Unavailable] * 600


def test_a_store_that_stays_down_is_named(queue: QueueScript, server: str) -> None:
    queue.rule = lambda _request: UNAVAILABLE
    with Client(server, timeout="300ms") as client, pytest.raises(StoreUnavailable, match="Redis is down"):
        client.enqueue("q", "t")
    assert len(queue.requests()) > 1


def test_a_server_that_does_not_answer_is_given_up_at_the_deadline(queue: QueueScript, server: str) -> None:
    queue.gate.clear()
    with Client(server) as client, ThreadPoolExecutor(2) as pool:
        first = pool.submit(client.enqueue, "q", "t", timeout="600ms")
        queue.wait_for_calls(1)
        with pytest.raises(DeadlineExceeded, match="the job was not sent"):
            client.enqueue("q", "t", timeout="100ms")
        assert isinstance(first.exception(10), DeadlineExceeded)
        queue.gate.set()
        client.enqueue("q", "t")
    assert len(queue.requests()) == 2


def test_the_next_target_takes_over(queue: QueueScript, server: str) -> None:
    dead = closed_port()
    for _ in range(4):  # the order is random
        with Client(f"{dead},{server}") as client:
            client.enqueue("q", "t")
            client.enqueue("q", "t")
    assert len(queue.requests()) == 8


def test_a_server_that_dies_between_calls_is_left(queue: QueueScript) -> None:
    one, two = QueueScript(), queue
    with two.serving() as second:
        with one.serving() as first:
            client = Client(f"{first},{second}")
            client._core._stubs._targets = (first, second)  # not shuffled
            client.enqueue("q", "t")
        client.enqueue("q", "t")
        client.close()
    assert (len(one.requests()), len(two.requests())) == (1, 1)


def test_a_server_that_restarts_is_found_again(queue: QueueScript) -> None:
    with queue.serving() as address:
        client = Client(address)
        client.enqueue("q", "t")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client.enqueue, "q", "t")
        with queue.serving(address):
            waiting.result(15)
            client.close()
    assert len(queue.requests()) == 2


def test_bulk_is_cut_by_jobs_and_by_bytes(queue: QueueScript, server: str) -> None:
    seen: list[int] = []
    with Client(server) as client:
        results = client.enqueue_batch("q", (("t", n) for n in range(1700)), progress=seen.append)
        assert sorted(len(batch.jobs) for batch in queue.batches()) == [200, 500, 500, 500]
        assert len({batch.request_id for batch in queue.batches()}) == 4
        assert seen == [500, 1000, 1500, 1700]
        by_payload = {job.payload: job.id for batch in queue.batches() for job in batch.jobs}
        assert results == [Enqueued(by_payload[str(n).encode()]) for n in range(1700)]
        queue.calls.clear()
        client.enqueue_batch("q", [("t", bytes(700_000)) for _ in range(10)])
    assert [len(batch.jobs) for batch in queue.batches()].count(4) == 2
    assert all(batch.ByteSize() <= 3 << 20 for batch in queue.batches())


def test_close_leaves_no_thread_and_ends_calls_in_flight(queue: QueueScript, server: str) -> None:
    before = set(threading.enumerate())
    queue.gate.clear()
    client = Client(server)
    failures: list[BaseException | None] = []
    with ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(client.enqueue, "q", "t") for _ in range(8)]
        queue.wait_for_calls(1)
        line = client._core.coalescer._lines["q"].waiting
        until(lambda: len(line) == 7)
        client.close()
        failures = [future.exception(10) for future in futures]
    assert all(isinstance(failure, RelayError) for failure in failures)
    queue.gate.set()
    until(lambda: not {t for t in set(threading.enumerate()) - before if not t.name.startswith("scripted")})
    client.close()
    with pytest.raises(RelayError, match="this client is closed"):
        client.enqueue("q", "t")


def test_an_interrupted_leader_leaves_nobody_waiting(
    queue: QueueScript, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Client(server) as client, ThreadPoolExecutor(4) as pool:
        coalescer, send = client._core.coalescer, client._core.send
        entered, go_on = threading.Event(), threading.Event()

        def interrupt(*_args: object) -> None:
            entered.set()
            go_on.wait(10)
            raise KeyboardInterrupt

        monkeypatch.setattr(coalescer, "_send", interrupt)
        leader = pool.submit(client.enqueue, "q", "t")
        assert entered.wait(10)
        monkeypatch.setattr(coalescer, "_send", send)
        others = [pool.submit(client.enqueue, "q", "t") for _ in range(3)]
        line = coalescer._lines["q"].waiting
        until(lambda: len(line) == 3)
        go_on.set()
        assert isinstance(leader.exception(10), KeyboardInterrupt)
        assert all(future.result(10) for future in others)


def test_a_payload_over_every_limit_costs_no_call_and_no_other_job(queue: QueueScript, server: str) -> None:
    huge = b"x" * (5 << 20)
    with Client(server) as client:
        with pytest.raises(TooLarge, match=r"^payload: must be at most 3145728 bytes, has 5242880; store it"):
            client.enqueue("q", "t", huge)
        assert not queue.requests()
        results = client.enqueue_batch("q", [("t", 1), ("t", huge), ("t", 2)])
    assert [type(result) for result in results] == [Enqueued, TooLarge, Enqueued]
