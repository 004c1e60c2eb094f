"""The claim stream as a worker keeps it: window, reconnection, keep-alives, drain, failover, unknown frames."""

import asyncio
import os
import threading
import time
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from relay.v1 import queue_service_pb2 as pb
from relay_conformance.scripted import Refuse
from relay_worker import Context, Jobs, Reject, RetryLater, Throttled, WorkerFailed
from tests.support.broker_double import BrokerDouble, Stream, drain, job, jobs_frame, keep_alive
from tests.support.waiting import until
from tests.support.worker_runner import Running, running


@pytest.fixture
def double() -> Iterator[BrokerDouble]:
    with BrokerDouble() as broker:
        yield broker


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Handlers wait for it; opened at the end whatever happens."""
    event = threading.Event()
    yield event
    event.set()


def gated(gate: threading.Event) -> Jobs:
    jobs = Jobs()

    @jobs.handler("work")
    def work() -> None:
        gate.wait()

    return jobs


def test_the_request_of_a_worker(double: BrokerDouble) -> None:
    with running(Jobs(), double.target, queues={"a": 1, "b": 5}, concurrency=7, lease_s=4, worker_id="me"):
        request = double.stream().request
    assert {one.queue: one.weight for one in request.queues} == {"a": 1, "b": 5}
    assert (request.max_in_flight, request.worker_id, request.session_id, request.in_flight) == (
        7,
        "me",
        "",
        0,
    )
    assert request.lease.ToTimedelta().total_seconds() == 4
    assert request.disconnect_grace.ToTimedelta().total_seconds() == 2
    assert request.client_version.startswith("relay-python/")


def test_outcomes_of_every_kind_reach_the_server(double: BrokerDouble) -> None:
    jobs = Jobs()

    @jobs.handler("async")
    async def run(payload: dict[str, Any]) -> None:
        await asyncio.sleep(0)
        match payload["do"]:
            case "retry":
                raise RetryLater(after="9s")
            case "reject":
                raise Reject("never")
            case "throttle":
                raise Throttled(after=2)
            case "fail":
                raise LookupError("lost")
            case "exit":
                raise SystemExit(1)

    @jobs.handler("sync")
    def sync(payload: dict[str, Any]) -> None:
        asyncio.run(run(payload))

    def frame(kind: str) -> dict[str, pb.ClaimedJob]:
        deeds = ["ok", "retry", "reject", "throttle", "fail", "exit"]
        return {deed: job(kind, b'{"do":"%s"}' % deed.encode()) for deed in deeds}

    claimed = {kind: frame(kind) for kind in ("async", "sync")}
    unknown, undecodable = job("other"), job("async", b"{oops")
    with running(jobs, double.target, concurrency=14):
        for one in claimed.values():
            double.stream().send(jobs_frame(one.values()))
        double.stream().send(jobs_frame([unknown, undecodable]))
        until(lambda: len(double.settled()) == 14)
    nacked = double.nacked()
    for one in claimed.values():
        assert one["ok"].job.id in double.acked()
        said = {deed: nacked[c.job.id] for deed, c in one.items() if deed != "ok"}
        assert said["retry"].kind == pb.NACK_KIND_RETRY
        assert said["retry"].after.ToTimedelta().total_seconds() == 9
        assert (said["reject"].kind, said["reject"].error.message) == (pb.NACK_KIND_DEAD, "never")
        assert said["throttle"].kind == pb.NACK_KIND_THROTTLED
        assert (said["fail"].kind, said["fail"].error.type) == (pb.NACK_KIND_RETRY, "LookupError")
        assert "in run" in said["fail"].error.stack
        assert not said["fail"].HasField("after"), "the job's own backoff decides"
        assert said["exit"].error.type == "SystemExit"
    assert (nacked[unknown.job.id].kind, nacked[unknown.job.id].error.type) == (
        pb.NACK_KIND_RETRY,
        "UnknownJobType",
    )
    assert nacked[undecodable.job.id].kind == pb.NACK_KIND_DEAD
    assert "not JSON" in nacked[undecodable.job.id].error.message


def test_the_context_says_what_the_frame_said(double: BrokerDouble) -> None:
    jobs, seen = Jobs(), []

    @jobs.handler("work")
    async def work(payload: bytes, ctx: Context) -> None:
        seen.append(
            (payload, ctx.job_id, ctx.queue, ctx.attempt, ctx.max_attempts, ctx.epoch, ctx.idempotency_key,
             dict(ctx.headers))
        )  # fmt: skip

    payload = os.urandom(1 << 20)
    claimed = job("work", payload, attempt=3, idempotency_key="k", headers={"traceparent": "t"})
    with running(jobs, double.target):
        double.stream().send(jobs_frame([claimed], queue_name="other"))
        until(double.acked)
    assert seen == [(payload, claimed.job.id, "other", 3, 20, claimed.epoch, "k", {"traceparent": "t"})]


@pytest.mark.parametrize("kind", ["async", "sync"])
def test_never_more_at_once_than_slots_and_no_hidden_buffer(double: BrokerDouble, kind: str) -> None:
    """A broker that sends to the window as it is reported never sees it exceeded, and finds every slot in use."""
    slots, total = 4, 40
    jobs, lock = Jobs(), threading.Lock()
    now_running, most = [0], [0]

    def enter(by: int) -> None:
        with lock:
            now_running[0] += by
            most[0] = max(most[0], now_running[0])

    @jobs.handler("async")
    async def run() -> None:
        enter(1)
        await asyncio.sleep(0.01)
        enter(-1)

    @jobs.handler("sync")
    def sync() -> None:
        enter(1)
        time.sleep(0.01)
        enter(-1)

    left, worst = [total], [0]

    def pump(stream: Stream, in_flight: int, received: int) -> None:
        with double.lock:
            unsettled = in_flight + stream.sent - received
            worst[0] = max(worst[0], unsettled)
            for _ in range(min(slots - unsettled, left[0])):
                left[0] -= 1
                stream.send(jobs_frame([job(kind)]))

    def on_ack(request: pb.AckRequest) -> None:
        assert request.window.session_id == double.session_id
        pump(double.streams[0], request.window.in_flight, request.window.received)

    double.on_ack = on_ack
    double.on_claim = lambda stream: pump(stream, 0, 0)
    with running(jobs, double.target, concurrency=slots):
        until(lambda: len(double.acked()) == total)
    seqs = [call.request.window.seq for call in double.acks]
    assert seqs == sorted(set(seqs))
    assert worst[0] <= slots
    assert most[0] == slots


def test_more_jobs_than_slots_still_run_within_the_slots(double: BrokerDouble, gate: threading.Event) -> None:
    started: list[int] = []
    jobs = Jobs()

    @jobs.handler("work")
    async def work() -> None:
        started.append(1)
        await asyncio.to_thread(gate.wait)

    with running(jobs, double.target, concurrency=2):
        double.stream().send(jobs_frame([job() for _ in range(5)], lease=1.0))
        until(lambda: len(started) == 2)
        until(lambda: len(set(double.extended())) == 5, what="leases of waiting jobs are kept as well")
        assert len(started) == 2
        gate.set()
        until(lambda: len(double.acked()) == 5)


def test_a_lost_stream_is_reopened_with_session_and_leases(
    double: BrokerDouble, gate: threading.Event
) -> None:
    claimed = [job() for _ in range(3)]
    double.lease = 60  # no heartbeat falls into the test
    with running(gated(gate), double.target, lease_s=60):
        frame = jobs_frame(claimed, lease=60)
        double.stream().send(frame)
        until(lambda: double.stream().sent == 3 and double.streams[0].drained)
        double.stream().send(keep_alive(3))
        double.stream().cut()
        again = double.stream(1).request
        assert again.session_id == double.session_id
        assert again.in_flight == 3
        assert [(g.queue, g.lease_token) for g in again.leases] == [("q", frame.jobs.lease_token)]
        assert {one for g in again.leases for one in g.job_ids} == {c.job.id for c in claimed}
        restated = until(lambda: [c.request.window for c in double.extends if c.request.window.session_id])
        assert (restated[-1].received, restated[-1].in_flight) == (0, 3)
        gate.set()
        until(lambda: len(double.acked()) == 3)
        assert double.acks[-1].request.window.received == 0, "counts from zero on the new stream"


def test_two_missed_keep_alives_are_a_dead_stream(double: BrokerDouble) -> None:
    double.keep_alive = 0.2
    with running(Jobs(), double.target) as worker:
        first = double.stream()
        opened = time.monotonic()
        for _ in range(3):
            time.sleep(0.2)  # the broker's own pace: one keep-alive each
            first.send(keep_alive(0))
        assert len(double.streams) == 1
        assert worker.worker.health() == ""
        double.stream(1)
        assert time.monotonic() - opened >= 0.9
        assert first.closed.wait(5), "the old call was cancelled, not abandoned"


def test_health_turns_bad_when_nothing_comes(double: BrokerDouble) -> None:
    double.keep_alive = 0.1
    with running(Jobs(), double.target) as worker:
        double.stream()
        until(lambda: worker.worker.health() == "")
        double.refuse_claim = Refuse(grpc.StatusCode.UNAVAILABLE)
        assert "no frame" in until(worker.worker.health)


def test_a_keep_alive_that_counts_otherwise_is_answered(double: BrokerDouble, gate: threading.Event) -> None:
    with running(gated(gate), double.target):
        double.stream().send(jobs_frame([job(), job()]))
        double.stream().send(keep_alive(2))
        double.stream().send(keep_alive(5))
        call = until(lambda: [c for c in double.extends if not c.request.leases])[0]
        assert (call.request.window.received, call.request.window.in_flight) == (2, 2)
        assert len([c for c in double.extends if not c.request.leases]) == 1, "an equal count needs no answer"


@pytest.mark.parametrize("ended", [True, False], ids=["by the server", "by the worker"])
def test_drain_reconnects_after_the_time_given(
    double: BrokerDouble, gate: threading.Event, ended: bool
) -> None:
    with running(gated(gate), double.target):
        double.stream().send(jobs_frame([job()]))
        double.stream().send(drain(0.5))
        if ended:
            double.stream().end()
        at = time.monotonic()
        again = double.stream(1).request
        assert time.monotonic() - at >= 0.45
        assert again.session_id == double.session_id
        assert again.in_flight == 1
        gate.set()
        until(double.acked)


def test_a_worker_fails_over_to_another_server(gate: threading.Event) -> None:
    with BrokerDouble() as one, BrokerDouble() as two, running(gated(gate), f"{one.target},{two.target}"):
        first = until(lambda: [broker for broker in (one, two) if broker.streams])[0]
        other = two if first is one else one
        first.stream().send(jobs_frame([job()]))
        first.stream().send(drain(0))
        moved = other.stream().request
        assert (moved.session_id, moved.in_flight) == (first.session_id, 1)
        first.stop()
        gate.set()
        until(lambda: other.acked() or first.acked())


def test_unknown_frames_are_ignored(double: BrokerDouble) -> None:
    jobs = Jobs()
    jobs.handler("work")(lambda: None)
    with running(jobs, double.target):
        stream = double.stream()
        # Field 77, length-delimited: a frame of a later version.
        stream.send(pb.ClaimResponse.FromString(b"\xea\x04\x02hi"))
        stream.send(jobs_frame([job()]))
        until(double.acked)
    assert len(double.streams) == 1


@pytest.mark.parametrize(
    "code",
    [grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED],
)
def test_a_refusal_that_repeating_cannot_cure_ends_the_worker(
    double: BrokerDouble, code: grpc.StatusCode
) -> None:
    double.refuse_claim = Refuse(code, "queues: 'q' is not for you")
    worker = Running(Jobs(), double.target)
    worker.join()
    assert isinstance(worker.error, WorkerFailed)
    assert "is not for you" in str(worker.error)
    assert len(double.streams) == 1


def test_a_server_that_is_not_there_yet_is_waited_for(double: BrokerDouble) -> None:
    double.refuse_claim = Refuse(grpc.StatusCode.UNAVAILABLE)
    with running(Jobs(), double.target) as worker:
        until(lambda: len(double.streams) >= 3)
        double.refuse_claim = None
        until(lambda: worker.connected)


def test_nothing_is_left_after_the_end(double: BrokerDouble) -> None:
    jobs = Jobs()

    @jobs.handler("sync")
    def sync() -> None: ...

    @jobs.handler("async")
    async def run() -> None: ...

    def ours() -> set[str]:
        return {one.name for one in threading.enumerate() if one.name.startswith("relay-")}

    assert not ours()
    with running(jobs, double.target):
        double.stream().send(jobs_frame([job("sync"), job("async")]))
        until(lambda: len(double.acked()) == 2)
        assert ours()
    until(lambda: not ours(), what=f"threads to end; left: {ours()}")
    assert double.stream().closed.wait(5)


def test_jobs_on_the_wire_at_the_end_are_given_back(double: BrokerDouble) -> None:
    """Stopping closes the window first, and what still arrives is released, not lost until its lease ends."""
    jobs = Jobs()
    jobs.handler("work")(lambda: None)
    late = job("other")

    def on_extend(request: pb.ExtendRequest) -> None:
        if request.window.in_flight >= 8:
            double.streams[0].send(jobs_frame([late]))

    with running(jobs, double.target, concurrency=8) as worker:
        until(lambda: worker.connected)
        double.on_extend = on_extend
        worker.finish()
    assert double.extends[0].request.window.in_flight == 8
    assert late.job.id in double.nacked()


def test_a_delivery_that_comes_twice_runs_once(double: BrokerDouble, gate: threading.Event) -> None:
    twice, other = job(), job()
    frame = jobs_frame([twice])
    jobs, began = Jobs(), list[str]()

    @jobs.handler("work")
    def work(payload: Any, ctx: Context) -> None:
        began.append(ctx.job_id)
        gate.wait()

    with running(jobs, double.target):
        double.stream().send(frame)
        double.stream().send(frame)
        double.stream().send(jobs_frame([other]))
        # Frames are taken in order: by now the second delivery was seen, and the first one is not settled.
        until(lambda: other.job.id in began)
        gate.set()
        until(lambda: len(double.acked()) == 2)
    assert sorted(double.acked()) == sorted([twice.job.id, other.job.id])
    last = max((call.request.window for call in double.acks), key=lambda window: window.seq)
    assert (last.received, last.in_flight) == (3, 0)
