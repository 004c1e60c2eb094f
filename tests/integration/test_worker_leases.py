"""Leases stay alive whatever handlers do, and a handler whose lease is gone is stopped."""

import asyncio
import threading
import time
from collections.abc import Iterator

import grpc
import pytest

from relay.v1 import queue_service_pb2 as pb
from relay_conformance.scripted import Refuse
from relay_worker import Context, Jobs
from tests.support.broker_double import BrokerDouble, cancel, duration, ids, job, jobs_frame
from tests.support.waiting import until
from tests.support.worker_runner import running


@pytest.fixture
def double() -> Iterator[BrokerDouble]:
    with BrokerDouble(lease=1.0) as broker:
        yield broker


def longest_gap(double: BrokerDouble, job_id: str, since: float) -> float:
    """Longest time the job's lease went without Extend."""
    times = [since, *(call.at for call in double.extends if job_id in ids(call.request.leases))]
    return max(later - sooner for sooner, later in zip(times, [*times[1:], time.monotonic()], strict=True))


def endless() -> tuple[Jobs, threading.Event]:
    """A handler that runs until it is stopped, and what is set then."""
    jobs, ended = Jobs(), threading.Event()

    @jobs.handler("work")
    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    return jobs, ended


def test_leases_outlive_a_blocked_event_loop(double: BrokerDouble) -> None:
    """An async handler blocks the loop for three leases; its job and those that arrive meanwhile keep theirs."""
    jobs, blocked = Jobs(), threading.Event()

    @jobs.handler("block")
    async def block() -> None:
        blocked.set()
        time.sleep(3.0)  # noqa: ASYNC251 - the point

    @jobs.handler("work")
    async def work() -> None: ...

    first, second = job("block"), job("work")
    with running(jobs, double.target, lease_s=1.0):
        double.stream().send(jobs_frame([first], lease=1.0))
        assert blocked.wait(5)
        arrived = time.monotonic()
        double.stream().send(jobs_frame([second], lease=1.0))
        until(lambda: second.job.id in double.extended())
        assert not double.acked(), "the loop is blocked"
        until(lambda: len(double.acked()) == 2)
    assert longest_gap(double, first.job.id, arrived) < 1.0
    assert longest_gap(double, second.job.id, arrived) < 1.0
    assert double.extended().count(second.job.id) >= 6


def test_a_lost_lease_cancels_an_async_handler(double: BrokerDouble) -> None:
    jobs, ended = Jobs(), []

    @jobs.handler("work")
    async def work(payload: None, ctx: Context) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append(bool(ctx.cancelled))
            raise

    claimed = job()
    double.outcomes[claimed.job.id] = pb.LEASE_OUTCOME_LEASE_LOST
    with running(jobs, double.target, lease_s=1.0):
        double.stream().send(jobs_frame([claimed], lease=1.0))
        until(lambda: ended == [True])
        restated = until(lambda: [c.request.window for c in double.extends if not c.request.leases])
        assert restated[-1].in_flight == 0, "its slot is free and the server is told"
    assert not double.settled(), "there is nothing to settle"


def test_a_lost_lease_tells_a_sync_handler(double: BrokerDouble) -> None:
    jobs, stopped = Jobs(), threading.Event()

    @jobs.handler("work")
    def work(payload: None, ctx: Context) -> None:
        assert ctx.cancelled.wait(10)
        stopped.set()

    claimed = job()
    with running(jobs, double.target, lease_s=1.0):
        double.stream().send(jobs_frame([claimed], lease=1.0))
        until(double.extended)
        double.outcomes[claimed.job.id] = pb.LEASE_OUTCOME_GONE
        assert stopped.wait(5)
    assert not double.settled()


def test_a_lost_lease_is_not_extended_although_its_handler_still_runs(double: BrokerDouble) -> None:
    jobs, gate = Jobs(), threading.Event()
    jobs.handler("work")(lambda: gate.wait(30) and None)
    lost, kept = job(), job()
    double.outcomes[lost.job.id] = pb.LEASE_OUTCOME_LEASE_LOST
    with running(jobs, double.target, lease_s=1.0):
        double.stream().send(jobs_frame([lost], lease=1.0))
        double.stream().send(jobs_frame([kept], lease=1.0))
        until(lambda: double.extended().count(kept.job.id) >= 4)
        gate.set()
        until(lambda: double.acked() == [kept.job.id])
    assert double.extended().count(lost.job.id) == 1


@pytest.mark.parametrize("kind", ["async", "sync"])
def test_a_cancel_frame_stops_and_settles(double: BrokerDouble, kind: str) -> None:
    """A job an operator cancelled is nacked, which removes it; one whose lease is lost is dropped."""
    jobs = Jobs()

    @jobs.handler("async")
    async def run() -> None:
        await asyncio.sleep(60)

    @jobs.handler("sync")
    def sync(payload: None, ctx: Context) -> None:
        ctx.cancelled.wait(60)
        ctx.raise_if_cancelled()

    cancelled, lost = job(kind), job(kind)
    with running(jobs, double.target, lease_s=1.0) as worker:
        double.stream().send(jobs_frame([cancelled, lost]))
        until(lambda: len(set(double.extended())) == 2)
        double.stream().send(cancel(cancelled.job.id, pb.LEASE_OUTCOME_CANCELLED))
        double.stream().send(cancel(lost.job.id, pb.LEASE_OUTCOME_LEASE_LOST))
        double.stream().send(cancel("never-heard-of", pb.LEASE_OUTCOME_GONE))
        until(lambda: cancelled.job.id in double.nacked())
        until(lambda: worker.in_flight == 0)
    assert double.nacked()[cancelled.job.id].kind == pb.NACK_KIND_RELEASE
    assert lost.job.id not in double.settled()


def test_a_lease_is_timed_here_when_nobody_answers(double: BrokerDouble) -> None:
    jobs, ended = endless()
    release = threading.Event()

    def silent(request: pb.ExtendRequest) -> None:
        release.wait(10)

    double.on_extend = silent
    with running(jobs, double.target, lease_s=1.0):
        double.stream().send(jobs_frame([job()], lease=1.0))
        sent = time.monotonic()
        assert ended.wait(5)
        took = time.monotonic() - sent
        release.set()
    assert 0.9 < took < 2.0
    assert not double.settled()


def test_extends_are_repeated_after_failures(double: BrokerDouble) -> None:
    jobs, gate = Jobs(), threading.Event()
    jobs.handler("work")(lambda: gate.wait() and None)
    failures = [2]

    def on_extend(request: pb.ExtendRequest) -> None:
        if failures[0]:
            failures[0] -= 1
            raise Refuse(grpc.StatusCode.UNAVAILABLE)

    double.on_extend = on_extend
    with running(jobs, double.target, lease_s=1.0):
        sent = time.monotonic()
        double.stream().send(jobs_frame([job()], lease=1.0))
        until(lambda: len(double.extends) >= 4)
        assert time.monotonic() - sent < 3.0
        gate.set()
        until(double.acked)


def test_a_short_answer_is_believed(double: BrokerDouble) -> None:
    """With max_runtime the server grants ever less; the worker extends sooner and stops in time."""
    jobs, ended = endless()
    double.lease = 3.0
    over = time.monotonic() + 1.5

    def on_extend(request: pb.ExtendRequest) -> pb.ExtendResponse:
        left = max(0.0, min(3.0, over - time.monotonic()))
        ok = pb.LEASE_OUTCOME_OK
        return pb.ExtendResponse(
            results=[pb.ExtendResult(outcome=ok, lease_remaining=duration(left)) for _ in ids(request.leases)]
        )

    double.on_extend = on_extend
    with running(jobs, double.target, lease_s=3.0):
        double.stream().send(jobs_frame([job()], lease=1.0))
        assert ended.wait(5)
        assert -0.2 < time.monotonic() - over < 1.0
        assert len([c for c in double.extends if c.request.leases]) >= 4, (
            "a shrinking lease is extended ever sooner, not every second"
        )


def test_progress_goes_out_with_heartbeats(double: BrokerDouble) -> None:
    jobs, gate = Jobs(), threading.Event()

    @jobs.handler("work")
    def work(payload: None, ctx: Context) -> None:
        for step in range(100):
            ctx.progress(step / 100, "early")
        ctx.progress(0.5, "half " + "ä" * 200)
        gate.wait()

    claimed = job()
    with running(jobs, double.target, lease_s=60.0):
        double.lease = 60.0
        double.stream().send(jobs_frame([claimed], lease=60.0))
        until(lambda: [p for c in double.extends for p in c.request.progress if p.fraction == 0.5])
        gate.set()
        until(double.acked)
    sent = [p for c in double.extends for p in c.request.progress]
    assert len(sent) <= 3, "gathered, not one call each"
    assert sent[-1].job_id == claimed.job.id
    assert sent[-1].note.startswith("half ä")
    assert len(sent[-1].note.encode()) <= 200


def test_max_runtime_ends_handlers_of_every_kind(double: BrokerDouble) -> None:
    jobs, gate = Jobs(), threading.Event()

    @jobs.handler("async", max_runtime="10m")
    async def run() -> None:
        await asyncio.sleep(60)

    @jobs.handler("sync", max_runtime="200ms")
    def sync() -> None:
        gate.wait(30)

    one, two = job("async", max_runtime=duration(0.2)), job("sync")
    with running(jobs, double.target, lease_s=1.0, concurrency=2) as worker:
        double.stream().send(jobs_frame([one, two]))
        until(lambda: len(double.nacked()) == 2)
        for claimed in (one, two):
            nack = double.nacked()[claimed.job.id]
            assert (nack.kind, nack.error.type) == (pb.NACK_KIND_RETRY, "MaxRuntimeExceeded")
        assert worker.in_flight == 1, "the thread cannot be killed and keeps its slot"
        gate.set()
        until(lambda: worker.in_flight == 0)
    assert len(double.nacks) == len([c for c in double.nacks if c.request.jobs])
    assert not double.acked(), "what the late handler returns counts no more"
