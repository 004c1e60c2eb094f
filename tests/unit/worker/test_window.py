"""The window's arithmetic: what counts when, and which report may be sent."""

from relay_worker.model import HeldJob, LeaseGroup
from relay_worker.window import Window


def held() -> HeldJob:
    group = LeaseGroup(queue="q", token=b"", jobs={}, extend_at=0, deadline=0)
    return HeldJob(group, "id", "q", "t", b"", "", 1, 1, 1, "", {}, 0, 0, 0)


def finished() -> HeldJob:
    job = held()
    job.busy = False
    return job


def test_a_settle_states_the_window_without_its_jobs() -> None:
    window = Window(10)
    window.opened("s")
    window.took(3, 3)
    report = window.settle_begins([finished(), finished()])
    assert report is not None
    assert (report.session_id, report.received, report.in_flight, report.seq) == ("s", 3, 1, 1)
    assert window.restatement() is None, "it would overtake the settle"
    assert not window.differs(99)
    window.settle_ended()
    after = window.restatement()
    assert after is not None
    assert (after.in_flight, after.seq) == (1, 2)
    assert window.differs(3)
    assert not window.differs(1)


def test_a_failed_settle_counts_again() -> None:
    window = Window(10)
    window.opened("s")
    window.took(2, 2)
    jobs = [finished(), finished()]
    window.settle_begins(jobs)
    window.settle_failed(jobs)
    assert window.in_flight == 2
    window.gone(jobs)
    assert window.in_flight == 0


def test_a_handler_that_outlives_its_settle_keeps_its_slot() -> None:
    window = Window(10)
    window.opened("s")
    window.took(1, 1)
    job = held()
    report = window.settle_begins([job])
    window.settle_ended()
    assert report is not None
    assert report.in_flight == 1
    assert window.slot_free(job)
    assert window.in_flight == 0


def test_a_slot_freed_while_its_settle_fails() -> None:
    window = Window(10)
    window.took(1, 1)
    job = held()
    window.settle_begins([job])
    assert window.slot_free(job)
    window.settle_failed([job])
    assert window.in_flight == 1, "the settle is still owed"
    window.settle_begins([job])
    assert window.in_flight == 0


def test_a_new_stream_receives_from_zero_and_seq_goes_on() -> None:
    window = Window(10)
    window.opened("s")
    window.took(4, 4)
    first = window.restatement()
    assert window.new_stream() == 4
    second = window.restatement()
    assert first is not None
    assert second is not None
    assert (first.received, second.received) == (4, 0)
    assert second.seq > first.seq


def test_a_report_names_the_stream_whose_receipts_it_counts() -> None:
    window = Window(10)
    window.opened("s", 41)
    first = window.restatement()
    window.new_stream()
    window.opened("s", 42)
    second = window.restatement()
    assert first is not None
    assert second is not None
    assert (first.stream, second.stream) == (41, 42)


def test_a_closed_window_is_full() -> None:
    window = Window(10)
    window.opened("s")
    window.took(1, 1)
    window.close()
    report = window.restatement()
    assert report is not None
    assert report.in_flight == 10
    assert not window.differs(5)
