"""What results and exceptions become: the whole table, and that errors keep to the contract's limits."""

import asyncio
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.v1.queue_service_pb2 import (
    NACK_KIND_DEAD,
    NACK_KIND_RELEASE,
    NACK_KIND_RETRY,
    NACK_KIND_THROTTLED,
)
from relay_client.limits import ERROR_BYTES_MAX, ERROR_TYPE_BYTES_MAX
from relay_worker import Reject, RetryLater, Stopped, Throttled
from relay_worker.outcome import (
    ACK,
    DROP,
    RELEASE,
    MaxRuntimeExceeded,
    Nack,
    StopReason,
    UndecodablePayload,
    UnknownJobType,
    failure_of,
    outcome_of,
    outcome_of_stop,
)


def raised(error: BaseException) -> BaseException:
    with pytest.raises(type(error)) as caught:
        raise error
    return caught.value


@pytest.mark.parametrize(
    ("error", "kind", "after_s", "error_type"),
    [
        (ValueError("no"), NACK_KIND_RETRY, None, "ValueError"),
        (RetryLater("soon", after="2m"), NACK_KIND_RETRY, 120.0, "RetryLater"),
        (RetryLater(), NACK_KIND_RETRY, None, "RetryLater"),
        (RetryLater(after=timedelta(seconds=3)), NACK_KIND_RETRY, 3.0, "RetryLater"),
        (Reject("bad address"), NACK_KIND_DEAD, None, "Rejected"),
        (Throttled(after=7), NACK_KIND_THROTTLED, 7.0, None),
        (UndecodablePayload("not JSON"), NACK_KIND_DEAD, None, "UndecodablePayload"),
        (UnknownJobType("no handler"), NACK_KIND_RETRY, None, "UnknownJobType"),
        (MaxRuntimeExceeded("too long"), NACK_KIND_RETRY, None, "MaxRuntimeExceeded"),
        (asyncio.CancelledError(), NACK_KIND_RETRY, None, "asyncio.exceptions.CancelledError"),
        (SystemExit(3), NACK_KIND_RETRY, None, "SystemExit"),
        (KeyboardInterrupt(), NACK_KIND_RETRY, None, "KeyboardInterrupt"),
    ],
)
def test_exceptions(error: BaseException, kind: int, after_s: float | None, error_type: str | None) -> None:
    outcome = outcome_of(raised(error))
    assert isinstance(outcome, Nack)
    assert (outcome.kind, outcome.after_s) == (kind, after_s)
    assert (outcome.error.type if outcome.error else None) == error_type


def test_a_return_is_an_ack() -> None:
    assert outcome_of(None) is ACK


@pytest.mark.parametrize("error", [None, ValueError("x"), Reject("x"), asyncio.CancelledError()])
def test_a_lost_lease_leaves_nothing_to_settle(error: BaseException | None) -> None:
    assert outcome_of(error, stop=StopReason.LOST) is DROP


@pytest.mark.parametrize("stop", [StopReason.SHUTDOWN, StopReason.CANCELLED])
def test_told_to_stop(stop: StopReason) -> None:
    def kind(error: BaseException) -> int | None:
        outcome = outcome_of(error, stop=stop)
        return outcome.kind if isinstance(outcome, Nack) else None

    assert outcome_of(None, stop=stop) is ACK, "it returned: the work is done"
    assert kind(asyncio.CancelledError()) == NACK_KIND_RELEASE
    assert kind(Stopped("stopped")) == NACK_KIND_RELEASE
    assert kind(Reject("no")) == NACK_KIND_DEAD, "what it says plainly still counts"
    assert outcome_of_stop(stop) is RELEASE
    assert outcome_of_stop(StopReason.LOST) is DROP


def test_the_cause_of_a_retry_is_what_is_reported() -> None:
    with pytest.raises(RetryLater) as caught:
        raise RetryLater(after="5s") from ConnectionError("reset by peer")
    outcome = outcome_of(caught.value)
    assert isinstance(outcome, Nack)
    assert outcome.error is not None
    assert (outcome.error.type, outcome.error.message) == ("ConnectionError", "reset by peer")


def test_a_long_stack_keeps_its_end() -> None:
    def dig(depth: int) -> None:
        if depth:
            dig(depth - 1)
        else:
            exec(compile("raise ValueError('bottom ' + 'x' * 9000)", "bottom.py", "exec"))

    with pytest.raises(ValueError) as caught:
        dig(200)
    failure = failure_of(caught.value)
    assert len(failure.message.encode()) + len(failure.stack.encode()) <= ERROR_BYTES_MAX
    assert failure.message.startswith("bottom xxx")
    assert failure.stack.rstrip().endswith("xxx")


@given(st.text(st.characters(), max_size=5000), st.text(max_size=300))
def test_any_text_fits_the_contract(text: str, name: str) -> None:
    error = raised(type("E" + name.replace("\0", ""), (Exception,), {})(text + "\ud800"))
    failure = failure_of(error)
    assert 1 <= len(failure.type.encode()) <= ERROR_TYPE_BYTES_MAX
    assert len(failure.message.encode()) + len(failure.stack.encode()) <= ERROR_BYTES_MAX


def test_an_error_that_cannot_be_printed() -> None:
    class Nasty(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    failure = failure_of(raised(Nasty()))
    assert "could not be read" in failure.message
    assert "test_outcome" in failure.stack


@pytest.mark.parametrize("after", [-1, "1 fortnight", "2000d", float("nan")])
def test_a_bad_after_is_refused_where_it_is_written(after: float | str) -> None:
    with pytest.raises(ValueError, match=r"after|duration"):
        RetryLater(after=after)
