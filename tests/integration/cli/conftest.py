"""What tests of the commands share: a server of their own, `relay` as a function, a queue, dead letters."""

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from relay.v1 import job_pb2, queue_service_pb2, queue_service_pb2_grpc
from tests.support.cli import Relay, runner


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a `relay-server` for all commands, on its embedded Redis."""
    folder = tmp_path_factory.mktemp("relay")
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                *(sys.executable, "-c", "from relay_server.cli import main; main()"),
                *("--listen", "127.0.0.1:0", "--http", "off", "--data-dir", str(folder / "data")),
            ],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={name: value for name, value in os.environ.items() if not name.startswith("RELAY_")},
        )
    try:
        yield _ready(process, log)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _ready(process: "subprocess.Popen[bytes]", log: Path) -> str:
    deadline = time.monotonic() + 30
    while "relay-server ready" not in log.read_text():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.02)
    return log.read_text().split("grpc=", 1)[1].split()[0]


@pytest.fixture
def relay(server: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Relay:
    """Runs `relay ARGUMENT...` against the server."""
    run = runner(monkeypatch, capsys)
    monkeypatch.setenv("RELAY_SERVER", server)
    return run


@pytest.fixture
def queue() -> str:
    """A name no other test has."""
    return f"q-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def bury(server: str, relay: Relay, queue: str) -> Callable[[int], None]:
    """Makes dead letters in the test's queue."""

    def bury(jobs: int) -> None:
        assert relay("enqueue", queue, "broken", "--count", str(jobs)).code == 0
        with grpc.insecure_channel(server) as channel:
            stub = queue_service_pb2_grpc.QueueServiceStub(channel)
            stream = stub.Claim(
                queue_service_pb2.ClaimRequest(
                    queues=[queue_service_pb2.QueueWeight(queue=queue)],
                    worker_id="digger",
                    max_in_flight=jobs,
                )
            )
            buried = 0
            for frame in stream:
                if not frame.HasField("jobs"):
                    continue
                nacks = [
                    queue_service_pb2.NackedJob(
                        queue=queue,
                        job_id=each.job.id,
                        lease_token=frame.jobs.lease_token,
                        kind=queue_service_pb2.NACK_KIND_DEAD,
                        error=job_pb2.JobError(type="Boom", message="it is \x1b[31mbroken"),
                    )
                    for each in frame.jobs.jobs
                ]
                stub.Nack(queue_service_pb2.NackRequest(jobs=nacks))
                buried += len(nacks)
                if buried == jobs:
                    break
            stream.cancel()

    return bury
