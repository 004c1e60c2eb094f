"""How much of one kind is taken from one address within a minute."""

import pytest

from relay_server.security import brake
from relay_server.security.brake import Brake, network_of


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def test_an_event_over_the_limit_waits_until_the_first_is_a_minute_old(clock: list[float]) -> None:
    counted = Brake(2)
    assert counted.wait_s("a") == 0
    clock[0] += 20
    assert counted.wait_s("a") == 0
    assert counted.wait_s("a") == 41
    assert counted.wait_s("b") == 0, "another address is counted by itself"
    clock[0] += 40
    assert counted.wait_s("a") == 0
    assert counted.wait_s("a") == 21


def test_it_can_be_asked_without_counting(clock: list[float]) -> None:
    counted = Brake(2)
    assert not counted.is_over("a")
    counted.wait_s("a")
    assert not counted.is_over("a")
    counted.wait_s("a")
    assert counted.is_over("a")
    assert not counted.is_over("b")
    clock[0] += 60
    assert not counted.is_over("a")


def test_it_does_not_remember_all_addresses_there_are() -> None:
    counted = Brake(1)
    for n in range(brake._ADDRESSES_MAX + 5):
        counted.wait_s(str(n))
    assert len(counted._counted) == brake._ADDRESSES_MAX


@pytest.mark.parametrize(
    ("peer", "group"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_what_counts_as_one_address(peer: str, group: str) -> None:
    assert network_of(peer) == group
