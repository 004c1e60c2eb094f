"""The handlers of a fleet's workers (`relay-worker tests.support.fleet.jobs:jobs`), which record each run.

What a worker and its server say to each other is recorded where it enters gRPC, so the history holds whatever the
worker's own code does with it. The folder is that of RELAY_TEST_HISTORY.
"""

import asyncio
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc

from relay.v1 import queue_service_pb2 as pb
from relay_client.connection import Connection
from relay_worker import Context, Jobs
from tests.support.history import Kind, Recorder

jobs = Jobs()
recorder = Recorder(Path(os.environ["RELAY_TEST_HISTORY"]), f"worker-{os.getpid()}")


class Flawed(Exception):
    """The error of a job whose payload asks it to fail."""


def _started(ctx: Context) -> None:
    recorder.ran(ctx.job_id, ctx.attempt, ctx.epoch, finished=False)


def _finished(ctx: Context) -> None:
    recorder.ran(ctx.job_id, ctx.attempt, ctx.epoch, finished=True)


@jobs.handler("work")
async def work(payload: Mapping[str, float], ctx: Context) -> None:
    """{"ms": how long it takes, "again_ms": and later attempts, "fail": how many fail, "hang": how many never end}"""
    _started(ctx)
    if ctx.attempt <= payload.get("hang", 0):
        await asyncio.Event().wait()
    ms = payload.get("ms", 0)
    if ctx.attempt > 1:
        ms = payload.get("again_ms", ms)
    if ms:
        await asyncio.sleep(ms / 1000)
    if ctx.attempt <= payload.get("fail", 0):
        raise Flawed(f"attempt {ctx.attempt}")
    _finished(ctx)


@jobs.handler("block")
def block(payload: Mapping[str, float], ctx: Context) -> None:
    """The same in a thread that cannot be cancelled."""
    _started(ctx)
    time.sleep(payload["ms"] / 1000)
    _finished(ctx)


# --- the wire


def _word(outcome: "pb.LeaseOutcome.ValueType") -> str:
    return pb.LeaseOutcome.Name(outcome).removeprefix("LEASE_OUTCOME_")


def _leases(groups: Any) -> list[tuple[str, str]]:
    return [(job, group.lease_token.hex()) for group in groups for job in group.job_ids]


def _asked(request: Any) -> tuple[Kind, list[tuple[str, str]]]:
    match request:
        case pb.AckRequest():
            return "ack", _leases(request.leases)
        case pb.ExtendRequest():
            return "extend", _leases(request.leases)
        case _:
            return "nack", [(job.job_id, job.lease_token.hex()) for job in request.jobs]


def _outcomes(response: Any) -> list[str]:
    match response:
        case pb.AckResponse():
            return [_word(outcome) for outcome in response.outcomes]
        case pb.ExtendResponse():
            return [f"{_word(r.outcome)} {r.lease_remaining.ToMilliseconds()}" for r in response.results]
        case _:
            return [_word(result.outcome) for result in response.results]


class Wire(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
    """Writes down every settle and extension with its answer, and every job that arrives."""

    def intercept_unary_unary(self, proceed: Callable[..., Any], details: Any, request: Any) -> Any:
        op, leases = _asked(request)
        if not leases:
            return proceed(details, request)
        n = recorder.invoke(op, leases)
        call = proceed(details, request)
        call.add_done_callback(lambda ended: self._ended(n, ended))
        return call

    def _ended(self, n: int, call: Any) -> None:
        if not call.cancelled() and call.code() is grpc.StatusCode.OK:
            recorder.returned(n, "ok", _outcomes(call.result()))
        else:
            recorder.returned(n, "unknown")

    def intercept_unary_stream(self, proceed: Callable[..., Any], details: Any, request: Any) -> Any:
        grace_ms = float(request.disconnect_grace.ToMilliseconds())
        return _Frames(proceed(details, request), grace_ms)


class _Frames:
    """The call itself, whose frames are written down as they are read."""

    def __init__(self, call: Any, grace_ms: float) -> None:
        self._call = call
        self._grace_ms = grace_ms

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)

    def __iter__(self) -> Iterator[pb.ClaimResponse]:
        for frame in self._call:
            if frame.WhichOneof("frame") == "jobs":
                got = frame.jobs
                recorder.delivered(
                    got.lease_token.hex(),
                    got.lease_deadline.ToMilliseconds(),
                    self._grace_ms,
                    [(one.job.id, one.attempt, one.max_attempts, one.epoch) for one in got.jobs],
                )
            yield frame


def _record_the_wire() -> None:
    open_channel = Connection.open
    wire = Wire()

    def open_recorded(self: Connection, target: str) -> grpc.Channel:
        return grpc.intercept_channel(open_channel(self, target), wire)

    Connection.open = open_recorded  # type: ignore[method-assign]


_record_the_wire()
