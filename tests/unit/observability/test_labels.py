"""Labels of queues that were forgotten are free for others."""

from relay_server.observability.distributions import OTHER, Milliseconds, QueueLabels


def test_a_queue_that_two_samples_miss_gives_its_label_up() -> None:
    labels = QueueLabels(1)
    waits = Milliseconds("wait_seconds", "", labels)
    waits.observe("old", [5])
    assert labels.label("new") == OTHER
    assert labels.sampled(set()) == set(), "it may be too young to be in the sample"
    assert labels.sampled({"old"}) == set()
    assert labels.sampled(set()) == set()
    assert labels.sampled({"new"}) == {"old"}
    waits.forget({"old"})
    assert labels.label("new") == "new"
    (family,) = waits.collect()
    assert family.samples == []
