"""Which finished jobs share a call and when; time is given."""

from itertools import count

import pytest

from relay_worker.model import HeldJob, LeaseGroup
from relay_worker.outboxes import SETTLE_BATCH, SETTLE_LINGER_S, SLOW_S, Call, Kind, Outboxes
from relay_worker.outcome import ACK, RELEASE, Outcome

_ids = count()


def finished(queue: str, outcome: Outcome = ACK, *, deadline: float = 1000.0) -> HeldJob:
    group = LeaseGroup(queue, b"token", {}, 0.0, deadline)
    job = HeldJob(
        group, f"{next(_ids)}", queue, "work", b"", "", 1, 20, 1, "", {}, 0.0, 0.0, deadline
    )  # fmt: skip
    job.outcome = outcome
    return job


def filled(*queues: str) -> Outboxes:
    outboxes = Outboxes()
    for queue in queues:
        outboxes.add(finished(queue), idle=False)
    return outboxes


def queues(calls: list[Call]) -> list[list[str]]:
    return [[outbox.queue for outbox in call.outboxes] for call in calls]


def the_call(outboxes: Outboxes, now: float) -> Call:
    (call,) = outboxes.due(now, closing=True)
    return call


def test_healthy_queues_share_a_call_after_the_linger() -> None:
    outboxes = filled("a", "b")
    assert outboxes.due(1.0, closing=False) == []
    assert outboxes.wait_s(1.0) == pytest.approx(SETTLE_LINGER_S)
    assert queues(outboxes.due(1.0 + SETTLE_LINGER_S, closing=False)) == [["a", "b"]]


def test_a_full_batch_and_an_idle_worker_do_not_linger() -> None:
    full = filled(*["a", "b"] * (SETTLE_BATCH // 2))
    assert queues(full.due(1.0, closing=False)) == [["a", "b"]]
    idle = filled("a")
    assert idle.add(finished("b"), idle=True)
    assert queues(idle.due(1.0, closing=False)) == [["a", "b"]]


def test_acks_and_nacks_are_calls_of_their_own() -> None:
    outboxes = filled("a")
    outboxes.add(finished("a", RELEASE), idle=False)
    assert {call.kind for call in outboxes.due(1.0, closing=True)} == {Kind.ACK, Kind.NACK}


def test_what_finishes_during_a_call_waits_for_its_answer() -> None:
    outboxes = filled("a")
    first = the_call(outboxes, 1.0)
    outboxes.add(finished("a"), idle=True)
    outboxes.add(finished("b"), idle=True)
    assert queues(outboxes.due(1.1, closing=False)) == [["b"]], "another queue does not wait"
    outboxes.answered(first, 1.2)
    assert queues(outboxes.due(1.2, closing=False)) == [["a"]]


def test_the_queues_of_a_failed_call_go_on_by_themselves_after_its_pause() -> None:
    outboxes = filled("a", "b")
    outboxes.failed(the_call(outboxes, 1.0), 1.0, pause_s=0.5)
    outboxes.add(finished("c"), idle=True)
    assert queues(outboxes.due(1.2, closing=False)) == [["c"]]
    repeats = outboxes.due(1.5, closing=False)
    assert queues(repeats) == [["a"], ["b"]]
    assert all(job.tried for call in repeats for job in call.jobs)


def test_a_quick_answer_brings_a_queue_back_into_company() -> None:
    outboxes = filled("a", "b")
    outboxes.failed(the_call(outboxes, 1.0), 1.0, pause_s=0.0)
    for call in outboxes.due(1.0, closing=False):
        outboxes.answered(call, 1.0 + (SLOW_S * 2 if queues([call]) == [["b"]] else 0.0))
    for queue in ("a", "b", "c"):
        outboxes.add(finished(queue), idle=True)
    assert queues(outboxes.due(2.0, closing=False)) == [["a", "c"], ["b"]]


def test_queues_part_from_a_call_that_is_slow_and_then_wait_each_for_its_own() -> None:
    outboxes = filled("a", "b")
    slow = the_call(outboxes, 1.0)
    assert outboxes.wait_s(1.0) == pytest.approx(SLOW_S)
    outboxes.add(finished("a"), idle=True)
    assert outboxes.due(1.1, closing=False) == []
    later = 1.1 + SLOW_S
    assert queues(outboxes.due(later, closing=False)) == [["a"]]
    outboxes.add(finished("a"), idle=True)
    assert outboxes.due(later + SLOW_S * 2, closing=False) == [], "one call more, not one call for each job"
    outboxes.failed(slow, later, pause_s=0.0)
    assert queues(outboxes.due(later, closing=False)) == [["b"]]
    assert outboxes.unsettled == 4


def test_jobs_that_failed_are_taken_out_when_their_leases_are_over() -> None:
    outboxes = Outboxes()
    short, long = finished("a", deadline=2.0), finished("a", deadline=50.0)
    outboxes.add(short, idle=False)
    outboxes.add(long, idle=False)
    outboxes.failed(the_call(outboxes, 1.0), 1.0, pause_s=0.0)
    assert outboxes.take_ended(1.5) == []
    assert outboxes.take_ended(2.0) == [short]
    assert the_call(outboxes, 2.0).jobs == [long]
    assert outboxes.unsettled == 1


def test_nothing_is_left_when_all_is_taken() -> None:
    outboxes = filled("a", "a", "b")
    call = the_call(outboxes, 1.0)
    outboxes.add(finished("a"), idle=False)
    assert len(outboxes.take_all()) == 1
    outboxes.dropped(call)
    assert outboxes.unsettled == 0
