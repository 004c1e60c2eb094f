"""Workers against a real relay-server on an embedded Redis, started by the fixture that users have."""

import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from relay.v1.admin_service_pb2 import QueueStats, StatsRequest
from relay.v1.admin_service_pb2_grpc import AdminServiceStub
from relay_client import Client, RetryPolicy
from relay_worker import Context, Jobs, Reject
from relay_worker.testing.plugin import RelayServer, start_server
from tests.support.waiting import until
from tests.support.worker_runner import running

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def server() -> Iterator[RelayServer]:
    began = time.monotonic()
    with start_server() as started:
        assert time.monotonic() - began < 10
        yield started


@pytest.fixture
def queue() -> str:
    return f"q-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def client(server: RelayServer) -> Iterator[Client]:
    with Client(server.target) as client:
        yield client


@pytest.fixture
def admin(server: RelayServer) -> Iterator[AdminServiceStub]:
    with grpc.insecure_channel(server.target) as channel:
        yield AdminServiceStub(channel)


@contextmanager
def process(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process that does not outlive the block."""
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as started:
        try:
            yield started
        finally:
            started.kill()


def stats(admin: AdminServiceStub, queue: str) -> QueueStats:
    return admin.Stats(StatsRequest(queue=queue)).queues[0]


def test_every_job_runs_once(
    server: RelayServer, client: Client, admin: AdminServiceStub, queue: str
) -> None:
    jobs, seen, lock = Jobs(), list[int](), threading.Lock()

    @jobs.handler("async")
    async def run(payload: int) -> None:
        seen.append(payload)

    @jobs.handler("sync")
    def sync(payload: int) -> None:
        with lock:
            seen.append(payload)

    total = 2000
    with running(jobs, server.target, queues={queue: 1}, concurrency=64, lease_s=10):
        for start in range(0, total, 500):
            client.enqueue_batch(queue, [(("async", "sync")[n % 2], n) for n in range(start, start + 500)])
        until(lambda: stats(admin, queue).counters.acked == total, 60)
    assert sorted(seen) == list(range(total))
    after = stats(admin, queue)
    assert (after.ready, after.inflight, after.counters.expired, after.counters.stale) == (0, 0, 0, 0)


def test_retries_rejections_and_dead_letters(
    server: RelayServer, client: Client, admin: AdminServiceStub, queue: str
) -> None:
    jobs, attempts = Jobs(), list[tuple[str, int]]()

    @jobs.handler("flaky")
    async def flaky(payload: dict[str, Any], ctx: Context) -> None:
        attempts.append((ctx.job_id, ctx.attempt))
        if ctx.attempt < 3:
            raise ConnectionError("not yet")

    @jobs.handler("hopeless")
    async def hopeless() -> None:
        raise Reject("never")

    quick = RetryPolicy(max_attempts=3, initial_backoff="10ms", max_backoff="20ms")
    with running(jobs, server.target, queues={queue: 1}):
        flaky_id = client.enqueue(queue, "flaky", {}, retry=quick).id
        client.enqueue(queue, "hopeless")
        client.enqueue(queue, "flaky", "not an object", retry=quick)
        until(lambda: stats(admin, queue).dead == 2 and stats(admin, queue).counters.acked == 1, 30)
    assert attempts == [(flaky_id, 1), (flaky_id, 2), (flaky_id, 3)]


def test_a_blocked_loop_keeps_its_lease(
    server: RelayServer, client: Client, admin: AdminServiceStub, queue: str
) -> None:
    jobs, runs = Jobs(), list[int]()

    @jobs.handler("block")
    async def block(payload: float, ctx: Context) -> None:
        runs.append(ctx.attempt)
        time.sleep(payload)  # noqa: ASYNC251 - the point

    with running(jobs, server.target, queues={queue: 1}, concurrency=4, lease_s=1):
        for _ in range(2):
            client.enqueue(queue, "block", 3.0)
        until(lambda: stats(admin, queue).counters.acked == 2, 30)
    assert runs == [1, 1]
    assert stats(admin, queue).counters.expired == 0


def test_sigterm_releases_jobs_that_did_not_finish(
    server: RelayServer, client: Client, admin: AdminServiceStub, queue: str
) -> None:
    command = [sys.executable, "-m", "relay_worker.cli", "relay_worker.demo:jobs", "--queue", queue]
    options = ["--server", server.target, "--grace", "500ms", "--lease", "30s", "--concurrency", "4"]
    client.enqueue_batch(queue, [("demo.slow", {"seconds": 120})] * 6)
    with process([*command, *options]) as worker:
        until(lambda: stats(admin, queue).inflight == 4, 30)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(20) == 0
    after = stats(admin, queue)
    assert (after.inflight, after.ready + after.delayed) == (0, 6)
    assert (after.counters.released, after.counters.expired, after.counters.retried) == (4, 0, 0)


def test_a_killed_worker_s_jobs_run_elsewhere_after_the_disconnect_grace(
    server: RelayServer, client: Client, admin: AdminServiceStub, queue: str
) -> None:
    jobs, done = Jobs(), list[str]()

    @jobs.handler("demo.slow")
    async def slow(payload: Any, ctx: Context) -> None:
        done.append(ctx.job_id)

    command = [sys.executable, "-m", "relay_worker.cli", "relay_worker.demo:jobs", "--queue", queue]
    client.enqueue(queue, "demo.slow", {"seconds": 120}, retry=RetryPolicy(initial_backoff="10ms"))
    with process([*command, "--server", server.target, "--lease", "6s"]) as worker:
        until(lambda: stats(admin, queue).inflight == 1, 30)
        worker.kill()
    killed = time.monotonic()
    with running(jobs, server.target, queues={queue: 1}):
        until(lambda: done, 30)
    assert time.monotonic() - killed < 6


def test_a_worker_outlives_a_restart_of_the_server(queue: str, tmp_path: Path) -> None:
    """The worker holds a job while its server goes away and comes back; the job is acknowledged once, by this run."""
    jobs, gate, runs = Jobs(), threading.Event(), list[int]()

    @jobs.handler("work")
    def work(payload: Any, ctx: Context) -> None:
        runs.append(ctx.attempt)
        gate.wait(60)

    with start_server("--data-dir", str(tmp_path)) as first:
        with Client(first.target) as client:
            client.enqueue(queue, "work")
        address = first.target
        worker = running(jobs, address, queues={queue: 1}, lease_s=20)
        at_work = worker.__enter__()
        until(lambda: runs, 20)
    try:
        with (
            start_server("--data-dir", str(tmp_path), "--listen", address),
            grpc.insecure_channel(address) as channel,
        ):
            admin = AdminServiceStub(channel)
            until(lambda: at_work.connected, 20)
            gate.set()
            until(lambda: stats(admin, queue).counters.acked == 1, 20)
            assert stats(admin, queue).inflight == 0
            at_work.worker.stop()
            at_work.join()
    finally:
        gate.set()
        worker.__exit__(None, None, None)
    assert runs == [1]
