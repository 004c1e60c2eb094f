"""Every situation that two workers, a reaper, lost replies and a failover can bring about: I4 to I7 hold in all."""

import pytest

from relay_server.words import State
from tests.stateful.model import Model
from tests.stateful.search import Limits, counter_token, random_token, search


@pytest.mark.parametrize(
    ("limits", "at_least"),
    [(Limits(), 20_000), (Limits(time_ms=3, claims=3, failovers=0, lease_ms=1), 5000)],
    ids=["with a failover", "three claims and poison"],
)
def test_no_order_of_events_breaks_an_invariant(limits: Limits, at_least: int) -> None:
    outcome = search(random_token, limits)
    print(f"{outcome.situations} situations")
    assert outcome.broken == "", outcome.way
    # Fewer would say that something stopped being searched.
    assert outcome.situations > at_least


def test_the_search_finds_that_a_counter_is_no_token_across_a_failover() -> None:
    outcome = search(counter_token, Limits())
    assert outcome.broken.startswith("I6"), outcome
    assert len(outcome.way) == 4
    assert outcome.way[1].startswith("failover")


def test_without_a_failover_a_counter_would_do() -> None:
    assert search(counter_token, Limits(time_ms=3, failovers=0)).broken == ""


def test_the_search_finds_a_reaper_that_does_not_look_at_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    due = Model._due

    def all_leases(model: Model, state: State, limit: int) -> list[bytes]:
        return model._in(state)[:limit] if state is State.INFLIGHT else due(model, state, limit)

    monkeypatch.setattr(Model, "_due", all_leases)
    assert search(random_token, Limits()).broken.startswith("I4")
