"""Workers follow the load from none to many and back to none, and a running job keeps its worker."""

from tests.keda.run import BURST, POLL_S, run


def test_an_up_and_down_of_load() -> None:
    story = run()
    assert story.moments[0].replicas == 0, "an empty queue needs nobody"
    assert story.peak == story.policy.replicas_max
    assert story.tail, "the long job ran alone for a while"
    assert all(moment.replicas >= 1 for moment in story.tail), "a running job keeps its worker"
    assert min(moment.replicas for moment in story.tail) == 1, "and only that one"
    assert story.moments[-1].replicas == 0
    idle_s = story.moments[-1].at_s - story.last(lambda moment: moment.inflight > 0)
    assert idle_s >= story.policy.cooldown_s - POLL_S
    counters = story.end.counters
    assert counters.acked == counters.enqueued == BURST + 1
    assert (counters.claimed - counters.released, counters.retried, counters.expired) == (BURST + 1, 0, 0)
