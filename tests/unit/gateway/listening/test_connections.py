"""Which connections are let in when there is no room, and which ones end for them."""

import pytest

from relay_server.gateway.listening import connections
from relay_server.gateway.listening.connections import (
    EXTRA_MAX,
    ConnectionLimits,
    Connections,
    Held,
    State,
)


@pytest.fixture(autouse=True)
def grace_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a connection does counts from the moment it does it."""
    monkeypatch.setattr(connections, "_GRACE_S", 0.0)


class Table(Connections):
    """With the names of those that were cut off."""

    def __init__(self, most: int, per_address: int) -> None:
        super().__init__(ConnectionLimits(connections=most, per_address=per_address))
        self.ended: list[str] = []

    def come(self, name: str, state: State = State.SILENT, address: str = "192.0.2.1") -> Held:
        held = self.enter(address)
        assert held is not None, name
        held.end = lambda: self.ended.append(name)
        self.now(held, state)
        return held


def test_waiting_connections_make_room_in_order_and_served_ones_never() -> None:
    table = Table(5, 5)
    served = table.come("served", State.SERVED)
    for name in ("stalled", "receiving", "idle", "silent"):
        table.come(name, State(name))
    for _ in range(4):
        table.come("new", State.SERVED)
    assert table.ended == ["silent", "idle", "receiving", "stalled"]
    extra = table.come("none left")
    assert (extra.extra, served.state, len(table)) == (True, State.SERVED, 5)


def test_of_one_kind_the_oldest_goes_and_a_request_makes_it_young() -> None:
    table = Table(3, 3)
    held = {name: table.come(name, State.IDLE) for name in ("a", "b", "c")}
    table.now(held["a"], State.SERVED)
    table.now(held["a"], State.IDLE)
    table.come("d")
    assert table.ended == ["b"]


def test_an_address_makes_room_among_its_own() -> None:
    table = Table(10, 2)
    table.come("innocent", State.IDLE, "192.0.2.2")
    table.come("first", address="2001:db8:0:1::1")
    table.come("second", address="2001:db8:0:1::2")
    table.come("third", address="2001:db8:0:1:ffff::")
    assert table.ended == ["first"]


def test_beyond_the_limit_some_connections_are_let_in_for_a_refusal() -> None:
    table = Table(1, 1)
    table.come("served", State.SERVED)
    extras = [table.come(f"extra {n}", State.SERVED) for n in range(EXTRA_MAX)]
    assert all(one.extra for one in extras)
    assert table.enter("192.0.2.1") is None
    table.leave(extras[0])
    table.leave(extras[0])
    assert table.come("room again").extra
    table.come("newest").extra  # noqa: B018 - the silent one made room
    assert table.ended == ["room again"]


def test_a_connection_that_leaves_is_counted_in_no_state() -> None:
    table = Table(2, 1)
    for state in (*State,):
        if state is not State.GONE:
            held = table.come(state.value, state)
            table.leave(held)
            table.now(held, State.IDLE)
            table.leave(held)
            assert len(table) == 0
    assert table.ended == []
    assert table._by_address == {}


def test_a_new_connection_stays_if_another_can_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_GRACE_S", 60.0)
    table = Table(2, 2)
    table.come("receiving", State.RECEIVING).since -= 100
    table.come("hello")
    table.come("third", State.SERVED)
    assert table.ended == ["receiving"]
