"""How often a principal may open a stream: all that it may have at once, then so many a second."""

from contextlib import suppress

import pytest

from relay_server import errors
from relay_server.security.gate import Gate, PrincipalLimits
from relay_server.security.principals import ANYONE, Principal, Role

WATCH = "/relay.v1.AdminService/WatchStats"


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr("relay_server.security.gate.time.monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def principal(name: str) -> Principal:
    return Principal(name, {Role.WORKER: ("*",)})


def opened(gate: Gate, who: Principal, tries: int) -> int:
    """How many of so many streams, each closed at once, were let in."""
    n = 0
    for _ in range(tries):
        with suppress(errors.Overloaded), gate.stream_of(who, WATCH):
            n += 1
    return n


def test_a_loop_that_opens_and_closes_is_slowed(clock: Clock) -> None:
    gate = Gate(None, PrincipalLimits(streams=100, calls_per_s=0, opens_per_s=5))
    mallory = principal("mallory")
    assert opened(gate, mallory, 1000) == 100
    clock.now += 2
    assert opened(gate, mallory, 1000) == 10
    assert opened(gate, principal("shop"), 50) == 50, "others are not"


def test_each_refused_caller_gets_another_time(clock: Clock) -> None:
    """A fleet that came back for one and the same token would be refused again, but for one."""
    gate, fleet = Gate(None, PrincipalLimits(streams=10, calls_per_s=0, opens_per_s=5)), principal("fleet")
    waits_ms: list[int] = []
    assert opened(gate, fleet, 10) == 10
    for _ in range(100):
        with pytest.raises(errors.Overloaded) as refused, gate.stream_of(fleet, WATCH):
            pass
        assert "--principal-opens-per-s" in str(refused.value)
        waits_ms.append(refused.value.retry_after_ms or 0)
    assert waits_ms[:3] == [201, 401, 601]
    assert max(waits_ms) == 10_001, "and nobody waits for ever for those who never come back"


def test_no_limit_and_nobody_in_particular(clock: Clock) -> None:
    assert opened(Gate(None, PrincipalLimits(streams=1, calls_per_s=0)), principal("p"), 1000) == 1000
    assert opened(Gate(None, PrincipalLimits(streams=1, calls_per_s=0, opens_per_s=1)), ANYONE, 1000) == 1000
