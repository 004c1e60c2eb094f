"""CPU-bound handlers: in processes that can be killed one by one, with everything else working on."""

import os
from collections.abc import Iterator

import pytest

from relay.v1 import queue_service_pb2 as pb
from tests.support.broker_double import BrokerDouble, cancel, job, jobs_frame
from tests.support.waiting import until
from tests.support.worker_jobs import jobs
from tests.support.worker_runner import running


@pytest.fixture
def double() -> Iterator[BrokerDouble]:
    with BrokerDouble(lease=3) as broker:
        yield broker


def pids(double: BrokerDouble) -> list[int]:
    return [int(p.note) for call in double.extends for p in call.request.progress if p.note]


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_outcomes_cross_the_process(double: BrokerDouble) -> None:
    fine, rejected = job("cpu", b'{"do":"wait","seconds":0}'), job("cpu", b'{"do":"reject"}', attempt=7)
    wrong, died = job("cpu", b"{"), job("cpu", b'{"do":"die"}')
    with running(jobs, double.target):
        double.stream().send(jobs_frame([fine, rejected, wrong, died]))
        until(lambda: len(double.settled()) == 4, 30)
    nacked = double.nacked()
    assert double.acked() == [fine.job.id]
    assert (nacked[rejected.job.id].kind, nacked[rejected.job.id].error.message) == (
        pb.NACK_KIND_DEAD,
        "attempt 7",
    )
    assert (nacked[wrong.job.id].kind, nacked[wrong.job.id].error.type) == (
        pb.NACK_KIND_DEAD,
        "UndecodablePayload",
    )
    assert nacked[died.job.id].kind == pb.NACK_KIND_RETRY
    assert "exit code -9" in nacked[died.job.id].error.message


def test_a_hung_handler_is_killed_and_its_slot_used_again(double: BrokerDouble) -> None:
    hung, limited, waiting = (
        job("cpu", b'{"do":"hang"}'),
        job("cpu-limited"),
        job("cpu", b'{"do":"wait","seconds":3}'),
    )
    with running(jobs, double.target) as worker:
        double.stream().send(jobs_frame([hung]))
        until(lambda: hung.job.id in double.extended(), 20)
        double.stream().send(cancel(hung.job.id, pb.LEASE_OUTCOME_CANCELLED))
        until(lambda: hung.job.id in double.nacked(), 20)
        assert double.nacked()[hung.job.id].kind == pb.NACK_KIND_RELEASE
        double.stream().send(jobs_frame([limited, waiting]))
        until(lambda: limited.job.id in double.nacked(), 30)
        assert double.nacked()[limited.job.id].error.type == "MaxRuntimeExceeded"
        until(lambda: waiting.job.id in double.acked(), 30, what="its neighbour is not touched")
        assert worker.in_flight == 0


def test_no_process_is_left(double: BrokerDouble) -> None:
    with running(jobs, double.target):
        double.stream().send(jobs_frame([job("cpu", b'{"do":"pid"}')]))
        until(double.acked, 30)
        until(lambda: worker_processes(), what="a process of the pool")
        left = worker_processes()
    until(lambda: all(gone(pid) for pid in left), what=f"{left} to end")


def worker_processes() -> list[int]:
    import multiprocessing

    return [
        child.pid for child in multiprocessing.active_children() if child.name == "relay-cpu" and child.pid
    ]
