"""The Python driver with its SDK broken on purpose: what the kit must find. `wrong.py DEFECT...`; --list names them."""

import dataclasses
import itertools
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import python_sdk

from relay.v1 import queue_service_pb2 as pb
from relay_client import _retry, errors, ids
from relay_worker import claims, execution, leases, model, outcome, window

Defect = Callable[[], None]


def acks_lost_leases() -> None:
    """Takes no notice of lost leases: handlers go on and their jobs are acked."""

    def stop(self: leases.LeaseKeeper, job: model.HeldJob, why: Any) -> None:
        if why == pb.LEASE_OUTCOME_CANCELLED:
            self._on_stop(job, why)

    _replace(leases.LeaseKeeper, "_stop", stop)


def ignores_window() -> None:
    """Reports an empty window whatever it holds, and runs what comes."""

    def report(self: window.Window) -> pb.WindowReport | None:
        made = true_report(self)
        if made is not None:
            made.in_flight = 0
        return made

    true_report = window.Window._report
    _replace(window.Window, "_report", report)


def no_heartbeat() -> None:
    """Never extends a lease."""
    _replace(leases.LeaseKeeper, "_due", lambda self, now: [])


def runs_duplicates() -> None:
    """Takes each delivery for a new one."""

    def add(self: leases.LeaseKeeper, group: model.LeaseGroup) -> list[model.HeldJob]:
        with self._lock:
            self._groups.add(group)
        return list(group.jobs.values())

    _replace(leases.LeaseKeeper, "add", add)


def dies_of_the_unknown() -> None:
    """Crashes on a frame that it does not know."""

    def take(self: claims.Claims, frame: pb.ClaimResponse, drain_s: float | None) -> float | None:
        if frame.WhichOneof("frame") is None:
            os._exit(70)
        return true_take(self, frame, drain_s)

    true_take = claims.Claims._take
    _replace(claims.Claims, "_take", take)


def believes_the_deadline() -> None:
    """Times leases by lease_deadline and its own clock."""

    def received(frame: pb.Jobs, now: float, extend_every_s: float) -> model.LeaseGroup:
        left = frame.lease_deadline.ToNanoseconds() / 1e9 - time.time()
        frame.lease_remaining.FromNanoseconds(int(left * 1e9))
        return true_received(frame, now, extend_every_s)

    true_received = model.received
    _replace(claims, "received", received)


def forgets_its_session() -> None:
    """Reconnects as a new worker, without its session and its leases."""

    def request(self: claims.Claims) -> pb.ClaimRequest:
        made = true_request(self)
        made.session_id, made.in_flight = "", 0
        del made.leases[:]
        return made

    true_request = claims.Claims._request
    _replace(claims.Claims, "_request", request)


def waits_for_silence() -> None:
    """Never takes a silent stream for dead."""
    _replace(claims.Claims, "watch", lambda self, now: 1.0)


def reconnects_at_once() -> None:
    """Reopens its stream without any backoff."""
    _replace(claims.Claims, "_backoff", lambda self, error: 0.01)


def acks_what_it_cannot_read() -> None:
    """Acks jobs whose payload cannot be decoded or whose type nobody handles."""

    def outcome_of(error: BaseException | None, **options: Any) -> outcome.Outcome:
        unread = isinstance(error, outcome.UndecodablePayload | outcome.UnknownJobType)
        return outcome.ACK if unread else true_outcome_of(error, **options)

    true_outcome_of = outcome.outcome_of
    _replace(execution, "outcome_of", outcome_of)


def gives_back_finished_work() -> None:
    """Releases a job whose handler finished it after it was told to stop."""

    def outcome_of(
        error: BaseException | None, *, stop: outcome.StopReason = outcome.StopReason.NO
    ) -> outcome.Outcome:
        made: outcome.Outcome = true_outcome_of(error, stop=stop)
        return outcome.RELEASE if made is outcome.ACK and stop is not outcome.StopReason.NO else made

    # As it is called, not as it was defined: another defect may have replaced it.
    true_outcome_of = vars(execution)["outcome_of"]
    _replace(execution, "outcome_of", outcome_of)


def new_ids_on_repeat() -> None:
    """Repeats an Enqueue as another job."""

    def call(links: Any, attempt: Any, deadline: float, closing: Any) -> Any:
        def another(link: Any, timeout: float) -> Any:
            made = attempt.__closure__
            for cell in made or ():
                if hasattr(cell.cell_contents, "job") and next(tries):
                    cell.cell_contents.job.id = ids.new_id()
            return attempt(link, timeout)

        tries = itertools.count()
        return true_call(links, another, deadline, closing)

    true_call = _retry.call
    _replace(sys.modules["relay_client.client"], "call", call)


def repeats_everything() -> None:
    """Repeats calls whatever they failed with."""

    def pause_after(self: _retry.Attempts, error: errors.RelayError) -> float:
        return true_pause(self, errors.Unavailable(str(error), code=error.code, retry_after=0.2))

    true_pause = _retry.Attempts.pause_after
    _replace(_retry.Attempts, "pause_after", pause_after)


def backs_off_in_step() -> None:
    """Repeats without jitter, at a fixed pace, and does not read RetryInfo."""
    policy = dataclasses.replace(_retry.POLICY, initial=0.1, multiplier=1.0)

    def pause_after(self: _retry.Attempts, error: errors.RelayError) -> float:
        if not isinstance(error, errors.Unavailable) or self._now() + policy.initial >= self._deadline:
            raise error
        return policy.initial

    _replace(_retry.Attempts, "pause_after", pause_after)


DEFECTS: dict[str, Defect] = {
    one.__name__.replace("_", "-"): one
    for one in (
        acks_lost_leases,
        ignores_window,
        no_heartbeat,
        runs_duplicates,
        dies_of_the_unknown,
        believes_the_deadline,
        forgets_its_session,
        waits_for_silence,
        reconnects_at_once,
        acks_what_it_cannot_read,
        gives_back_finished_work,
        new_ids_on_repeat,
        repeats_everything,
        backs_off_in_step,
    )
}


def _replace(owner: object, name: str, by: object) -> None:
    if not hasattr(owner, name):
        raise AttributeError(f"{owner}.{name}: the SDK has changed; break it in another place")
    setattr(owner, name, by)


if __name__ == "__main__":
    if "--list" in sys.argv:
        for name, defect in DEFECTS.items():
            print(f"{name:<28} {defect.__doc__}")
        sys.exit()
    python_sdk.log_to_stderr()
    for name in sys.argv[1:]:
        DEFECTS[name]()
    python_sdk.serve()
