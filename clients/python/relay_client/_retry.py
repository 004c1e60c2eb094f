"""When a call is repeated and after what pause: one policy for the threaded and the asyncio stack.

Calls are repeated here and not by the channel (`grpc.enable_retries` is off), because the channel cannot turn to
another target of a list, does not know RetryInfo, and stops after five attempts whatever time is left. The numbers are
those of service_config.json, which clients made of generated stubs alone give to their channel.
"""

import asyncio
import json
import random
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import grpc

from relay_client.connection import SERVICE_CONFIG, Rotation
from relay_client.durations import DurationLike, parse_duration
from relay_client.errors import DeadlineExceeded, Overloaded, RelayError, Unavailable, from_rpc_error

# Half of the 60 s for which a server recognises a repeated request: a later repeat could make a second job.
TIMEOUT_END: Final = 30.0
DEFAULT_TIMEOUT: Final = 20.0
# A caller that waits for another's call gives up this much later, to get the error of that call and not a timeout.
SLACK: Final = 0.2

StubT = TypeVar("StubT")
ResponseT = TypeVar("ResponseT")


@dataclass(frozen=True, slots=True, kw_only=True)
class BackoffPolicy:
    """Upper bounds of the pauses between attempts, in seconds."""

    initial: float
    maximum: float
    multiplier: float


def _load_policy() -> BackoffPolicy:
    policy = json.loads(SERVICE_CONFIG)["methodConfig"][0]["retryPolicy"]
    return BackoffPolicy(
        initial=float(policy["initialBackoff"].removesuffix("s")),
        maximum=float(policy["maxBackoff"].removesuffix("s")),
        multiplier=float(policy["backoffMultiplier"]),
    )


POLICY: Final = _load_policy()


def parse_timeout(value: DurationLike) -> float:
    """The total time of a call with its repeats, in seconds; ValueError when repeats would not be safe."""
    seconds = parse_duration(value, "timeout").total_seconds()
    if not 0 < seconds < TIMEOUT_END:
        raise ValueError(
            f"timeout: {seconds:g} s; must be above 0 and below {TIMEOUT_END:g} s, half of the 60 s for which a server "
            "recognises a repeated request"
        )
    return seconds


def _passes(error: RelayError) -> bool:
    """Whether the same call may succeed later or at another server; an overloaded one counts if it named a time."""
    return isinstance(error, Unavailable) or (isinstance(error, Overloaded) and error.retry_after is not None)


class Attempts:
    """The course of one call: which failures are final, and how long to wait before the next attempt."""

    __slots__ = ("_bound", "_deadline", "_last", "_now", "_policy", "_untried")

    def __init__(
        self,
        targets: int,
        deadline: float,
        *,
        now: Callable[[], float] = time.monotonic,
        policy: BackoffPolicy = POLICY,
    ) -> None:
        self._untried = targets - 1
        self._deadline = deadline
        self._now = now
        self._policy = policy
        self._bound = policy.initial
        self._last: RelayError | None = None

    def remaining(self) -> float:
        """Seconds this attempt may take; DeadlineExceeded when there are none."""
        left = self._deadline - self._now()
        if left <= 0:
            if self._last is not None:
                raise self._last
            raise DeadlineExceeded(
                "the timeout passed before a server answered", code=grpc.StatusCode.DEADLINE_EXCEEDED
            )
        return left

    def pause_after(self, error: RelayError) -> float:
        """Seconds to wait before the next attempt; raises `error` when there must be none."""
        if isinstance(error, DeadlineExceeded) and self._last is not None:
            # The last attempt had little time: the error of an earlier one explains more.
            raise self._last
        if not _passes(error):
            raise error
        self._last = error
        if self._untried > 0 and error.retry_after is None:
            self._untried -= 1
            return 0.0
        # Full jitter, added to the pause that the server asked for: its clients must not come back all at once.
        pause = (error.retry_after or 0.0) + random.uniform(0, self._bound)
        self._bound = min(self._bound * self._policy.multiplier, self._policy.maximum)
        if self._now() + pause >= self._deadline:
            raise error
        return pause


def call(
    stubs: Rotation[StubT],
    attempt: Callable[[StubT, float], ResponseT],
    deadline: float,
    closing: threading.Event,
) -> ResponseT:
    """Runs `attempt(stub, timeout)` until it answers, fails for good, or `time.monotonic()` would pass `deadline`.

    A set `closing` ends the pauses: the last error is raised then.
    """
    attempts = Attempts(len(stubs), deadline)
    while True:
        timeout = attempts.remaining()
        target, stub = stubs.current()
        try:
            return attempt(stub, timeout)
        except grpc.RpcError as raised:
            error = from_rpc_error(raised)
        if _passes(error):
            stubs.move_on(target)
        if closing.wait(attempts.pause_after(error)):
            raise error


async def call_async(
    stubs: Rotation[StubT],
    attempt: Callable[[StubT, float], Awaitable[ResponseT]],
    deadline: float,
) -> ResponseT:
    """The same on asyncio; cancelling it ends the pauses."""
    attempts = Attempts(len(stubs), deadline)
    while True:
        timeout = attempts.remaining()
        target, stub = stubs.current()
        try:
            return await attempt(stub, timeout)
        except grpc.RpcError as raised:
            error = from_rpc_error(raised)
        if _passes(error):
            stubs.move_on(target)
        await asyncio.sleep(attempts.pause_after(error))
