"""Decides, as a pure function, the outcome of a job from its handler's result or exception: Ack, Nack or nothing."""

from __future__ import annotations

import asyncio
import enum
import traceback
from dataclasses import dataclass
from datetime import timedelta

from relay.v1.queue_service_pb2 import (
    NACK_KIND_DEAD,
    NACK_KIND_RELEASE,
    NACK_KIND_RETRY,
    NACK_KIND_THROTTLED,
    NackKind,
)
from relay_client.durations import parse_duration
from relay_client.limits import DELAY_MS_MAX, ERROR_BYTES_MAX, ERROR_TYPE_BYTES_MAX

# The message is one sentence; the rest of the room is worth more to the stack.
_ERROR_MESSAGE_BYTES_MAX = 2 * 1024


class RetryLater(Exception):
    """Raised by a handler: try this job again, after `after` ("30s", seconds or a timedelta) or its own backoff."""

    def __init__(self, reason: str = "", *, after: str | float | timedelta | None = None) -> None:
        super().__init__(reason or "the handler asked for another attempt")
        self.after_s = None if after is None else _after_seconds(after)


class Reject(Exception):
    """Raised by a handler: this job cannot succeed; make it a dead letter now, with `reason`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)


class Throttled(Exception):
    """Raised by a handler: something the job needs is over its limit; later, without using up an attempt."""

    def __init__(self, reason: str = "", *, after: str | float | timedelta | None = None) -> None:
        super().__init__(reason or "throttled")
        self.after_s = None if after is None else _after_seconds(after)


class Stopped(Exception):
    """Raised by `ctx.raise_if_cancelled()`: the handler had to stop and did."""


class MaxRuntimeExceeded(Exception):
    """The handler ran longer than its max_runtime, or its job's."""


class UnknownJobType(Exception):
    """No handler of this worker knows the job's type."""


class UndecodablePayload(Exception):
    """The payload is not what the handler's first parameter asks for."""


class StopReason(enum.Enum):
    """Why a job must stop, if it must."""

    NO = "no"
    LOST = "lost"
    CANCELLED = "cancelled"
    SHUTDOWN = "shutdown"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFailure:
    """An error as the contract carries it: type at most 128 bytes, message and stack at most 8 KiB together."""

    type: str
    message: str
    stack: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ack:
    """The job is finished."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Nack:
    """The attempt has failed, or is released; `after_s` is in seconds, None leaves it to the server."""

    kind: NackKind.ValueType
    after_s: float | None = None
    error: JobFailure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """The lease is gone: nothing is left to settle."""


Outcome = Ack | Nack | Drop

ACK = Ack()
DROP = Drop()
RELEASE = Nack(kind=NACK_KIND_RELEASE)

_NACK_WORDS = {
    NACK_KIND_RETRY: "retry",
    NACK_KIND_DEAD: "dead",
    NACK_KIND_RELEASE: "release",
    NACK_KIND_THROTTLED: "throttled",
}


def word_of(outcome: Outcome) -> str:
    """The outcome in logs, metrics and spans: ack, retry, dead, release, throttled or lost."""
    match outcome:
        case Ack():
            return "ack"
        case Nack():
            return _NACK_WORDS[outcome.kind]
    return "lost"


def outcome_of(error: BaseException | None, *, stop: StopReason = StopReason.NO) -> Outcome:
    """The outcome of a job whose handler returned (`error` None) or raised.

    `stop` is set when the handler was to stop. Returning means done, even then: to run finished work again would be
    our fault. A handler that leaves work undone raises.
    """
    if stop is StopReason.LOST:
        return DROP
    if error is None:
        return ACK
    match error:
        case Reject():
            return Nack(kind=NACK_KIND_DEAD, error=failure_of(error, name="Rejected", stack=False))
        case UndecodablePayload():
            return Nack(kind=NACK_KIND_DEAD, error=failure_of(error, stack=False))
        case RetryLater():
            return Nack(
                kind=NACK_KIND_RETRY, after_s=error.after_s, error=failure_of(_cause(error), stack=True)
            )
        case Throttled():
            return Nack(kind=NACK_KIND_THROTTLED, after_s=error.after_s)
    if stop is not StopReason.NO:
        return RELEASE
    # A worker of another version may know the type, and a hung run may pass next time: both are retried.
    return Nack(kind=NACK_KIND_RETRY, error=failure_of(error, stack=not isinstance(error, _OURS)))


_OURS = (UnknownJobType, MaxRuntimeExceeded)


def outcome_of_stop(stop: StopReason) -> Outcome:
    """The outcome of a job that must stop and whose handler never began, or is no longer waited for."""
    return DROP if stop is StopReason.LOST else RELEASE


def failure_of(error: BaseException, *, name: str | None = None, stack: bool = True) -> JobFailure:
    """The error as data, within the limits of the contract, whatever its text holds."""
    kind = name or _type_name(error)
    message = _cut_end(_text_of(error), _ERROR_MESSAGE_BYTES_MAX)
    trace = ""
    if stack and error.__traceback__ is not None:
        room = ERROR_BYTES_MAX - len(message.encode())
        trace = _cut_start(_stack_of(error), room)
    return JobFailure(type=_cut_end(kind, ERROR_TYPE_BYTES_MAX), message=message, stack=trace)


def _cause(error: RetryLater) -> BaseException:
    """`raise RetryLater() from error` reports the error, which is what an operator wants to see."""
    return error.__cause__ or error


def _type_name(error: BaseException) -> str:
    cls = type(error)
    if cls.__module__ in {"builtins", "__main__"} or isinstance(
        error, (*_OURS, UndecodablePayload, RetryLater)
    ):
        return cls.__qualname__
    return f"{cls.__module__}.{cls.__qualname__}"


def _text_of(error: BaseException) -> str:
    if isinstance(error, asyncio.CancelledError) and not error.args:
        return "the handler was cancelled from within"
    try:
        return str(error) or repr(error)
    except Exception:  # noqa: BLE001 - the user's __str__ may raise anything
        return "(the error's text could not be read)"


def _stack_of(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error))
    except Exception:  # noqa: BLE001 - formatting calls the user's __str__ and __repr__
        return "".join(traceback.format_tb(error.__traceback__))


def _cut_end(text: str, bytes_max: int) -> str:
    data = text.encode("utf-8", "replace")
    if len(data) <= bytes_max:
        return data.decode()
    return data[: bytes_max - 3].decode("utf-8", "ignore") + "…"


def _cut_start(text: str, bytes_max: int) -> str:
    """Keeps the end: the innermost frames and the error itself are there."""
    data = text.encode("utf-8", "replace")
    if len(data) <= bytes_max:
        return data.decode()
    return "…" + data[-(bytes_max - 3) :].decode("utf-8", "ignore") if bytes_max > 3 else ""


def _after_seconds(after: str | float | timedelta) -> float:
    seconds = parse_duration(after).total_seconds()
    if not 0 <= seconds <= DELAY_MS_MAX / 1000:
        raise ValueError(f"after: {after!r} is not between 0 s and 1 year")
    return seconds
