"""Settles are gathered into few calls, repeated until answered, and given up when the lease is over."""

import asyncio
import threading
import time
from collections.abc import Iterator
from functools import partial

import grpc
import pytest

from relay.v1 import queue_service_pb2 as pb
from relay_conformance.scripted import Refuse
from relay_worker import Jobs
from relay_worker.outboxes import SETTLE_LINGER_S
from tests.support.broker_double import BrokerDouble, ids, job, jobs_frame
from tests.support.waiting import until
from tests.support.worker_runner import running


@pytest.fixture
def double() -> Iterator[BrokerDouble]:
    with BrokerDouble(lease=30) as broker:
        yield broker


@pytest.fixture
def jobs() -> Jobs:
    jobs = Jobs()

    @jobs.handler("work")
    async def work() -> None: ...

    @jobs.handler("later")
    async def later() -> None:
        await asyncio.sleep(0.002)

    @jobs.handler("fail")
    async def fail() -> None:
        raise ValueError("no")

    return jobs


def test_acks_of_a_frame_share_a_call(double: BrokerDouble, jobs: Jobs) -> None:
    with running(jobs, double.target, concurrency=640):
        for _ in range(10):
            double.stream().send(jobs_frame([job() for _ in range(64)], lease=30))
        until(lambda: len(double.acked()) == 640)
    assert len(double.acks) <= 25
    assert max(len(ids(call.request.leases)) for call in double.acks) <= 500
    assert len(set(double.acked())) == 640


def test_the_last_of_a_small_frame_is_not_waited_with(double: BrokerDouble, jobs: Jobs) -> None:
    took = []
    with running(jobs, double.target):
        for number in range(20):
            double.stream().send(jobs_frame([job(), job("later")]))
            sent = time.monotonic()
            until(partial(lambda wanted: len(double.acked()) == wanted, 2 * (number + 1)))
            took.append(double.acks[-1].at - sent)
    assert min(took) < SETTLE_LINGER_S, "nothing else runs: waiting for company would be vain"


def test_a_finished_job_does_not_wait_for_a_slow_one(double: BrokerDouble, jobs: Jobs) -> None:
    gate = threading.Event()
    jobs.handler("slow")(lambda: gate.wait() and None)
    slow, quick = job("slow"), job()
    with running(jobs, double.target):
        double.stream().send(jobs_frame([slow, quick]))
        until(lambda: double.acked() == [quick.job.id])
        gate.set()
        until(lambda: len(double.acked()) == 2)


def test_acks_and_nacks_state_the_window_one_after_the_other(double: BrokerDouble, jobs: Jobs) -> None:
    with running(jobs, double.target, concurrency=4):
        double.stream().send(jobs_frame([job(), job("fail"), job(), job("fail")]))
        until(lambda: len(double.settled()) == 4)
    calls = sorted([*double.acks, *double.nacks], key=lambda call: call.request.window.seq)
    assert calls[-1].request.window.in_flight == 0
    assert {call.request.window.received for call in calls} == {4}


# A server that is stopping answers what reaches it late with CANCELLED.
@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED])
def test_a_settle_is_repeated_until_answered_and_gone_is_then_success(
    double: BrokerDouble, jobs: Jobs, code: grpc.StatusCode
) -> None:
    claimed = job()
    tries = []

    def on_ack(request: pb.AckRequest) -> pb.AckResponse:
        tries.append(request.window)
        if len(tries) < 4:
            raise Refuse(code)
        return pb.AckResponse(outcomes=[pb.LEASE_OUTCOME_GONE])

    double.on_ack = on_ack
    with running(jobs, double.target) as worker:
        double.stream().send(jobs_frame([claimed], lease=30))
        until(lambda: len(tries) == 4)
        until(lambda: worker.metric("relay_worker_jobs_total", type="work", outcome="ack") == 1)
    assert len({window.seq for window in tries}) == 4
    assert worker.metric("relay_worker_lease_losses_total") == 0


def test_gone_at_the_first_try_is_a_loss(double: BrokerDouble, jobs: Jobs) -> None:
    claimed = job()
    double.outcomes[claimed.job.id] = pb.LEASE_OUTCOME_GONE
    with running(jobs, double.target) as worker:
        double.stream().send(jobs_frame([claimed]))
        until(lambda: worker.metric("relay_worker_jobs_total", type="work", outcome="lost") == 1)


def test_a_settle_is_given_up_when_its_lease_is_over(double: BrokerDouble, jobs: Jobs) -> None:
    def refuse(request: object) -> None:
        raise Refuse(grpc.StatusCode.UNAVAILABLE)

    double.on_ack = refuse
    double.on_extend = refuse
    with running(jobs, double.target, lease_s=1.0) as worker:
        double.stream().send(jobs_frame([job()], lease=1.0))
        until(lambda: worker.metric("relay_worker_jobs_total", type="work", outcome="unsettled") == 1)
        assert worker.in_flight == 0
        double.on_ack = None
        late = job()
        double.stream().send(jobs_frame([late], lease=30))
        until(lambda: late.job.id in double.acked(), what="the next job is settled as ever")
    assert len(double.acks) > 2


def test_failing_settles_do_not_spin(double: BrokerDouble, jobs: Jobs) -> None:
    def refuse(request: object) -> None:
        raise Refuse(grpc.StatusCode.UNAVAILABLE)

    double.on_ack = refuse
    with running(jobs, double.target, concurrency=64):
        double.stream().send(jobs_frame([job() for _ in range(32)], lease=30))
        until(lambda: len(double.acks) >= 3)
        for _ in range(32):
            double.stream().send(jobs_frame([job()], lease=30))
        before = len(double.acks)
        ends = time.monotonic() + 0.5
        until(lambda: time.monotonic() > ends)
        assert len(double.acks) - before < 25
        double.on_ack = None
        until(lambda: len(set(double.acked())) == 64)


def test_a_queue_whose_settles_fail_delays_no_other(double: BrokerDouble, jobs: Jobs) -> None:
    def refuse_sick(request: pb.AckRequest) -> None:
        if any(group.queue == "sick" for group in request.leases):
            raise Refuse(grpc.StatusCode.INTERNAL)

    double.on_ack = refuse_sick
    well: set[str] = set()
    with running(jobs, double.target, queues={"sick": 1, "well": 1}, concurrency=64):
        double.stream().send(jobs_frame([job() for _ in range(4)], queue_name="sick", lease=30))
        until(lambda: len(double.acks) >= 6)  # its pauses have grown
        for _ in range(20):
            one = job()
            well.add(one.job.id)
            sent = len(double.acks)
            double.stream().send(jobs_frame([one], queue_name="well", lease=30))
            until(lambda: well <= set(answered(double, "well")))
            assert len(double.acks) - sent <= 3, "the repeats of the sick queue went on in between"
        double.on_ack = None
        until(lambda: len(answered(double, "sick")) >= 4)


@pytest.mark.parametrize("code", [grpc.StatusCode.INTERNAL, grpc.StatusCode.PERMISSION_DENIED])
def test_a_call_refused_for_one_queue_is_repeated_for_each(
    double: BrokerDouble, jobs: Jobs, code: grpc.StatusCode
) -> None:
    gate = threading.Event()
    jobs.handler("gated")(lambda: gate.wait() and None)
    shared = []

    def refuse_sick(request: pb.AckRequest) -> None:
        shared.append({group.queue for group in request.leases})
        if any(group.queue == "sick" for group in request.leases):
            raise Refuse(code)

    double.on_ack = refuse_sick
    with running(jobs, double.target, queues={"sick": 1, "well": 1}, concurrency=64) as worker:
        for name in ("sick", "well"):
            double.stream().send(jobs_frame([job("gated")], queue_name=name, lease=30))
        until(lambda: worker.in_flight == 2)
        gate.set()
        until(lambda: {"well"} in shared or {"sick", "well"} not in shared)
        until(lambda: worker.metric("relay_worker_jobs_total", type="gated", outcome="ack") == 1)
        double.on_ack = None


def test_a_slow_queue_delays_no_other(double: BrokerDouble, jobs: Jobs) -> None:
    gate = threading.Event()

    def hold_slow(request: pb.AckRequest) -> None:
        if any(group.queue == "slow" for group in request.leases):
            gate.wait(20)

    double.on_ack = hold_slow
    well: set[str] = set()
    with running(jobs, double.target, queues={"slow": 1, "well": 1}, concurrency=64, lease_s=30):
        double.stream().send(jobs_frame([job()], queue_name="slow", lease=30))
        until(lambda: double.acks)
        for _ in range(5):
            one = job()
            well.add(one.job.id)
            double.stream().send(jobs_frame([one], queue_name="well", lease=30))
            until(lambda: well <= set(answered(double, "well")), within=3)
        assert not gate.is_set()
        gate.set()


def answered(double: BrokerDouble, queue: str) -> list[str]:
    """Ids of a queue that were named in an Ack so far."""
    groups = [group for call in double.acks for group in call.request.leases]
    return ids(group for group in groups if group.queue == queue)


def test_an_outcome_of_a_later_server_does_not_end_settling(double: BrokerDouble, jobs: Jobs) -> None:
    first, second = job(), job()
    double.outcomes[first.job.id] = 99  # type: ignore[assignment]  # enums of proto3 are open
    with running(jobs, double.target):
        double.stream().send(jobs_frame([first]))
        until(lambda: double.acked() == [first.job.id])
        double.stream().send(jobs_frame([second]))
        until(lambda: second.job.id in double.acked())
