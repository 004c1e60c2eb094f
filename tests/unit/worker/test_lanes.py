"""Which finished jobs share a call and when; time is given."""

from itertools import count

import pytest

from relay_worker.lanes import BATCH_JOBS, LINGER_S, SLOW_S, Call, Kind, Lanes
from relay_worker.model import HeldJob, LeaseGroup
from relay_worker.outcome import ACK, RELEASE, Outcome

_ids = count()


def finished(queue: str, outcome: Outcome = ACK, *, deadline: float = 1000.0) -> HeldJob:
    group = LeaseGroup(queue, b"token", {}, 0.0, deadline)
    job = HeldJob(
        group, f"{next(_ids)}", queue, "work", b"", "", 1, 20, 1, "", {}, 0.0, 0.0, deadline
    )  # fmt: skip
    job.outcome = outcome
    return job


def filled(*queues: str) -> Lanes:
    lanes = Lanes()
    for queue in queues:
        lanes.add(finished(queue), idle=False)
    return lanes


def queues(calls: list[Call]) -> list[list[str]]:
    return [[lane.queue for lane in call.lanes] for call in calls]


def the_call(lanes: Lanes, now: float) -> Call:
    (call,) = lanes.due(now, closing=True)
    return call


def test_healthy_queues_share_a_call_after_the_linger() -> None:
    lanes = filled("a", "b")
    assert lanes.due(1.0, closing=False) == []
    assert lanes.wait_s(1.0) == pytest.approx(LINGER_S)
    assert queues(lanes.due(1.0 + LINGER_S, closing=False)) == [["a", "b"]]


def test_a_full_batch_and_an_idle_worker_do_not_linger() -> None:
    full = filled(*["a", "b"] * (BATCH_JOBS // 2))
    assert queues(full.due(1.0, closing=False)) == [["a", "b"]]
    idle = filled("a")
    assert idle.add(finished("b"), idle=True)
    assert queues(idle.due(1.0, closing=False)) == [["a", "b"]]


def test_acks_and_nacks_are_calls_of_their_own() -> None:
    lanes = filled("a")
    lanes.add(finished("a", RELEASE), idle=False)
    assert {call.kind for call in lanes.due(1.0, closing=True)} == {Kind.ACK, Kind.NACK}


def test_what_finishes_during_a_call_waits_for_its_answer() -> None:
    lanes = filled("a")
    first = the_call(lanes, 1.0)
    lanes.add(finished("a"), idle=True)
    lanes.add(finished("b"), idle=True)
    assert queues(lanes.due(1.1, closing=False)) == [["b"]], "another queue does not wait"
    lanes.answered(first, 1.2)
    assert queues(lanes.due(1.2, closing=False)) == [["a"]]


def test_the_queues_of_a_failed_call_go_on_by_themselves_after_its_pause() -> None:
    lanes = filled("a", "b")
    lanes.failed(the_call(lanes, 1.0), 1.0, pause_s=0.5)
    lanes.add(finished("c"), idle=True)
    assert queues(lanes.due(1.2, closing=False)) == [["c"]]
    repeats = lanes.due(1.5, closing=False)
    assert queues(repeats) == [["a"], ["b"]]
    assert all(job.tried for call in repeats for job in call.jobs)


def test_a_quick_answer_brings_a_queue_back_into_company() -> None:
    lanes = filled("a", "b")
    lanes.failed(the_call(lanes, 1.0), 1.0, pause_s=0.0)
    for call in lanes.due(1.0, closing=False):
        lanes.answered(call, 1.0 + (SLOW_S * 2 if queues([call]) == [["b"]] else 0.0))
    for queue in ("a", "b", "c"):
        lanes.add(finished(queue), idle=True)
    assert queues(lanes.due(2.0, closing=False)) == [["a", "c"], ["b"]]


def test_queues_part_from_a_call_that_is_slow_and_then_wait_each_for_its_own() -> None:
    lanes = filled("a", "b")
    slow = the_call(lanes, 1.0)
    assert lanes.wait_s(1.0) == pytest.approx(SLOW_S)
    lanes.add(finished("a"), idle=True)
    assert lanes.due(1.1, closing=False) == []
    later = 1.1 + SLOW_S
    assert queues(lanes.due(later, closing=False)) == [["a"]]
    lanes.add(finished("a"), idle=True)
    assert lanes.due(later + SLOW_S * 2, closing=False) == [], "one call more, not one call for each job"
    lanes.failed(slow, later, pause_s=0.0)
    assert queues(lanes.due(later, closing=False)) == [["b"]]
    assert lanes.unsettled == 4


def test_jobs_that_failed_are_taken_out_when_their_leases_are_over() -> None:
    lanes = Lanes()
    short, long = finished("a", deadline=2.0), finished("a", deadline=50.0)
    lanes.add(short, idle=False)
    lanes.add(long, idle=False)
    lanes.failed(the_call(lanes, 1.0), 1.0, pause_s=0.0)
    assert lanes.take_ended(1.5) == []
    assert lanes.take_ended(2.0) == [short]
    assert the_call(lanes, 2.0).jobs == [long]
    assert lanes.unsettled == 1


def test_nothing_is_left_when_all_is_taken() -> None:
    lanes = filled("a", "a", "b")
    call = the_call(lanes, 1.0)
    lanes.add(finished("a"), idle=False)
    assert len(lanes.take_all()) == 1
    lanes.dropped(call)
    assert lanes.unsettled == 0
