"""`relay-worker` as users start it: options, signals, exit codes, metrics."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from relay.v1 import queue_service_pb2 as pb
from relay_conformance.scripted import Refuse
from tests.support.broker_double import BrokerDouble, job, jobs_frame
from tests.support.waiting import until

ROOT = Path(__file__).parents[2]
JOBS = "tests.support.worker_jobs:jobs"

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def double() -> Iterator[BrokerDouble]:
    with BrokerDouble(lease=3) as broker:
        yield broker


@pytest.fixture
def start(double: BrokerDouble) -> Iterator[Start]:
    """Starts a worker process; what is still alive at the end is killed."""
    processes: list[subprocess.Popen[str]] = []

    def run(
        *options: str, jobs: str = JOBS, queue: tuple[str, ...] = ("--queue", "q"), **env: str
    ) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "relay_worker.cli", jobs, *queue, *options]
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={
                **os.environ,
                "RELAY_SERVER": double.target,
                "NO_COLOR": "1",
                "TERM": "dumb",
                "COLUMNS": "200",
                **env,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        processes.append(process)
        return process

    yield run
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


def payload(seconds: float) -> bytes:
    return json.dumps({"seconds": seconds}).encode()


def running_jobs(double: BrokerDouble, count: int) -> None:
    """Waits until the worker has seen so many jobs: it extends what it has received."""
    until(lambda: len(set(double.extended())) >= count, 20)


def test_sigterm_lets_running_jobs_finish(double: BrokerDouble, start: Start) -> None:
    worker = start("--lease", "1s", "--grace", "20s")
    claimed = [job("sleep", payload(1.5)) for _ in range(3)]
    double.stream(within=20).send(jobs_frame(claimed, lease=1.0))
    running_jobs(double, 3)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(20) == 0
    assert sorted(double.acked()) == sorted(c.job.id for c in claimed)
    assert not double.nacks
    assert len(double.streams) == 1, "it did not claim again"


def test_jobs_that_do_not_finish_in_the_grace_are_released(double: BrokerDouble, start: Start) -> None:
    worker = start("--lease", "1s", "--grace", "300ms")
    claimed = [job("sleep", payload(60)), job("stubborn", payload(60)), job("cpu", b'{"do":"hang"}')]
    double.stream(within=20).send(jobs_frame(claimed, lease=1.0))
    running_jobs(double, 3)
    sent = time.monotonic()
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(20) == 0
    assert time.monotonic() - sent < 10, "a thread that hangs does not hold the process up"
    assert {one.job_id: one.kind for one in double.nacked().values()} == {
        c.job.id: pb.NACK_KIND_RELEASE for c in claimed
    }


def test_a_blocked_loop_does_not_hold_up_the_end(double: BrokerDouble, start: Start) -> None:
    worker = start("--lease", "1s", "--grace", "300ms")
    claimed = job("block", payload(60))
    double.stream(within=20).send(jobs_frame([claimed], lease=1.0))
    running_jobs(double, 1)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(20) == 0
    assert double.nacked()[claimed.job.id].kind == pb.NACK_KIND_RELEASE


def test_a_second_signal_ends_it_at_once(double: BrokerDouble, start: Start) -> None:
    worker = start("--lease", "1s", "--grace", "60s")
    double.stream(within=20).send(jobs_frame([job("sleep", payload(60))], lease=1.0))
    running_jobs(double, 1)
    worker.send_signal(signal.SIGINT)
    assert double.stream().closed.wait(10), "the first stops claiming"
    assert worker.poll() is None
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(10) == 128 + signal.SIGTERM
    assert not double.settled()


def test_unsettled_jobs_at_the_end_are_told_by_the_exit_code(double: BrokerDouble, start: Start) -> None:
    worker = start("--lease", "1s", "--grace", "0s")

    def refuse(request: object) -> None:
        raise Refuse(grpc.StatusCode.UNAVAILABLE)

    double.on_nack = refuse
    double.stream(within=20).send(jobs_frame([job("sleep", payload(60))], lease=1.0))
    running_jobs(double, 1)
    double.on_extend = refuse
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(20) == 1


def test_refused_by_the_server(double: BrokerDouble, start: Start) -> None:
    double.refuse_claim = Refuse(grpc.StatusCode.INVALID_ARGUMENT, "queues: bad name")
    worker = start()
    output, _ = worker.communicate(timeout=20)
    assert worker.returncode == 1
    assert "queues: bad name" in output
    assert "Traceback" not in output


def test_metrics_and_health(double: BrokerDouble, start: Start) -> None:
    double.keep_alive = 0.5
    worker = start("--metrics", "127.0.0.1:0", "--log-format", "json")
    assert worker.stdout is not None
    url = ""
    for line in worker.stdout:
        event = json.loads(line)
        if event["event"] == "metrics":
            url = event["url"].removesuffix("/metrics")
            break
    double.stream(within=20).send(jobs_frame([job("sleep", payload(0)), job("nobody")]))
    until(lambda: len(double.settled()) == 2)

    def page() -> str:
        return get(url + "/metrics")[1]

    until(lambda: re.search(r'relay_worker_jobs_total\{outcome="ack",type="sleep"\} 1.0', page()))
    assert re.search(r"relay_worker_in_flight 0.0", page())
    assert 'relay_worker_run_seconds_count{type="sleep"} 1.0' in page()
    assert "relay_worker_lease_losses_total 0.0" in page()
    assert get(url + "/elsewhere")[0] == 404
    double.refuse_claim = Refuse(grpc.StatusCode.UNAVAILABLE)
    until(lambda: get(url + "/healthz")[0] == 503, 20)
    assert "no frame" in get(url + "/healthz")[1]
    double.refuse_claim = None
    until(lambda: get(url + "/healthz") == (200, "ok\n"), 20)


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"jobs": "tests.support.nowhere:jobs"}, "no module named 'tests.support.nowhere'"),
        ({"jobs": "tests.support.worker_jobs:handlers"}, "no Jobs object named 'handlers'"),
        ({"jobs": "tests.support.worker_jobs:not_jobs"}, "Jobs objects in it: jobs, empty"),
        ({"jobs": "tests.support.worker_jobs:empty"}, "has no handlers"),
        ({"jobs": "tests.support.worker_jobs"}, "is not MODULE:JOBS"),
        ({"queue": ()}, "--queue"),
        ({"queue": ("--queue", "=3")}, "no queue name"),
        ({"queue": ("--queue", "a=0")}, "whole number from 1 to 100"),
        ({"queue": ("--queue", "a", "--queue", "a=2")}, "named twice"),
        ({"queue": tuple(f"--queue=q{n}" for n in range(33))}, "name 1 to 32 queues, not 33"),
        ({"options": ("--lease", "2 fortnights")}, "--lease"),
        ({"options": ("--lease", "10ms")}, "between 1 s and 3600 s"),
        ({"options": ("--concurrency", "0")}, "--concurrency"),
        ({"options": ("--metrics", "9100")}, "not HOST:PORT"),
        ({"options": ("--server", "a:b:c")}, "--server"),
        ({"RELAY_WORKER_GRACE": "ever"}, "--grace"),
    ],
)
def test_bad_options_say_what_to_change(start: Start, options: dict[str, object], says: str) -> None:
    worker = start(*options.pop("options", ()), **options)  # type: ignore[misc]
    output, _ = worker.communicate(timeout=20)
    assert worker.returncode == 2
    assert says in " ".join(output.replace("│", " ").split())
    assert "Traceback" not in output


def test_a_busy_metrics_port_is_named(double: BrokerDouble, start: Start) -> None:
    worker = start("--metrics", double.target)
    output, _ = worker.communicate(timeout=20)
    assert worker.returncode == 2
    assert "--metrics" in output


def test_nothing_else_that_the_system_refuses_is_blamed_on_the_metrics(start: Start, tmp_path: Path) -> None:
    (tmp_path / "full_disk.py").write_text(
        "from relay_worker import Worker\n"
        "from tests.support.worker_jobs import jobs\n"
        "async def run(self): raise OSError(28, 'No space left on device')\n"
        "Worker.run = run\n"
    )
    output, _ = start(jobs="full_disk:jobs", PYTHONPATH=f"{tmp_path}:{ROOT}").communicate(timeout=20)
    assert "No space left on device" in output
    assert "--metrics" not in output


def test_help_gives_default_and_environment(start: Start) -> None:
    output, _ = start("--help").communicate(timeout=20)
    text = " ".join(output.replace("│", " ").split())
    for option in (
        "SERVER",
        "WORKER_QUEUE",
        "WORKER_CONCURRENCY",
        "WORKER_LEASE",
        "WORKER_GRACE",
        "WORKER_METRICS",
    ):
        assert f"RELAY_{option}" in text
    assert "[default: 30s]" in text
    assert "1s to 1h" in text


def test_exit_handlers_of_modules_run_after_a_drain(
    start: Start, double: BrokerDouble, tmp_path: Path
) -> None:
    process = start(TEST_ATEXIT_FILE=str(tmp_path / "end"))
    double.stream(within=20)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert (tmp_path / "end").read_text() == "ended"


def test_the_reader_of_its_lines_may_leave(double: BrokerDouble, start: Start) -> None:
    """`relay-worker … | head`: a line that cannot be written ends neither the claims nor the drain."""
    worker = start("--lease", "1s")
    assert worker.stdout is not None
    worker.stdout.readline()
    worker.stdout.close()
    worker.stdout = None
    unknown, known = job("no such type", b"{}"), job("sleep", payload(0))
    stream = double.stream(within=20)
    stream.send(jobs_frame([unknown]))  # its failure is a line
    until(double.nacked, 20)
    stream.cut()  # so is the end of the stream
    double.stream(1, within=20).send(jobs_frame([known]))
    until(double.acked, 20)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(15) == 0


def test_the_error_of_an_import_is_shown_whole(start: Start, tmp_path: Path) -> None:
    (tmp_path / "wrong_module.py").write_text("raise ValueError('deep inside')\n")
    process = start(jobs="wrong_module:jobs", PYTHONPATH=str(tmp_path))
    output, _ = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "wrong_module.py" in output
    assert "ValueError: deep inside" in output
