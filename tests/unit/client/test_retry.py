"""When a call is repeated, decided with no clock but the test's."""

import grpc
import pytest

from relay_client._retry import Attempts, parse_timeout
from relay_client.errors import (
    DeadlineExceeded,
    Internal,
    Overloaded,
    QueueFull,
    StoreUnavailable,
    Unavailable,
    from_status,
)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(autouse=True)
def whole_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jitter at its upper bound."""
    monkeypatch.setattr("random.uniform", lambda _low, high: high)


def test_pauses_grow_to_their_bound(clock: Clock) -> None:
    attempts = Attempts(1, clock.now + 20, now=clock)
    pauses = [attempts.pause_after(Unavailable("down")) for _ in range(7)]
    assert pauses == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0])


def test_what_a_stopping_server_cancelled_is_repeated(clock: Clock) -> None:
    cancelled = from_status(grpc.StatusCode.CANCELLED, "")
    assert Attempts(1, clock.now + 20, now=clock).pause_after(cancelled) == pytest.approx(0.1)


def test_jitter_is_full(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[float, float]] = []

    def note(low: float, high: float) -> float:
        asked.append((low, high))
        return low

    monkeypatch.setattr("random.uniform", note)
    assert Attempts(1, clock.now + 20, now=clock).pause_after(Unavailable("down")) == 0
    assert asked == [(0, 0.1)]


def test_the_servers_wish_is_honoured_and_jittered(clock: Clock) -> None:
    attempts = Attempts(3, clock.now + 20, now=clock)
    assert attempts.pause_after(StoreUnavailable("down", retry_after=5)) == pytest.approx(5.1)


def test_other_targets_are_tried_at_once(clock: Clock) -> None:
    attempts = Attempts(3, clock.now + 20, now=clock)
    pauses = [attempts.pause_after(Unavailable("down")) for _ in range(4)]
    assert pauses == pytest.approx([0, 0, 0.1, 0.2])


def test_a_server_that_has_too_much_to_do_is_asked_again_when_it_says(clock: Clock) -> None:
    attempts = Attempts(3, clock.now + 20, now=clock)
    pauses = [attempts.pause_after(Overloaded("busy", retry_after=0.5)) for _ in range(2)]
    assert pauses == pytest.approx([0.6, 0.7])


@pytest.mark.parametrize(
    "error",
    [Overloaded("busy"), QueueFull("full", retry_after=1), Internal("bug"), DeadlineExceeded("late")],
)
def test_nothing_else_is_repeated(clock: Clock, error: Exception) -> None:
    with pytest.raises(type(error)):
        Attempts(1, clock.now + 20, now=clock).pause_after(error)  # type: ignore[arg-type]


def test_a_pause_never_passes_the_deadline(clock: Clock) -> None:
    attempts = Attempts(1, clock.now + 20, now=clock)
    clock.now += 19.95
    assert attempts.remaining() == pytest.approx(0.05)
    with pytest.raises(Unavailable, match="down"):
        attempts.pause_after(Unavailable("down"))
    with pytest.raises(Unavailable, match="down"):
        attempts.pause_after(DeadlineExceeded("late"))  # the reason that says more


def test_with_no_time_left_and_no_reason_known_it_is_the_deadline(clock: Clock) -> None:
    attempts = Attempts(1, clock.now + 20, now=clock)
    clock.now += 20
    with pytest.raises(DeadlineExceeded) as caught:
        attempts.remaining()
    assert caught.value.code is grpc.StatusCode.DEADLINE_EXCEEDED


@pytest.mark.parametrize("timeout", [0, 30, "1m"])
def test_a_timeout_for_which_repeats_are_not_safe_is_refused(timeout: float | str) -> None:
    with pytest.raises(ValueError, match=r"^timeout: .* below 30 s, half of the 60 s"):
        parse_timeout(timeout)
    assert parse_timeout("29s") == 29
