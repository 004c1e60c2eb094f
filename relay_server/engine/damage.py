"""A queue with damaged keys costs its own turn and a line of the log, and stops no other queue."""

from collections.abc import Awaitable
from typing import TypeVar

import structlog

from relay_server import errors

_log = structlog.get_logger(__name__)

T = TypeVar("T")


async def unless_damaged(call: Awaitable[T], otherwise: T, *, event: str, queue: str) -> T:
    """The result of a call on the queue; `otherwise`, and a warning `event`, when the queue is damaged.

    Raises RelayError for what is no damage of this queue, such as StoreUnavailable.
    """
    try:
        return await call
    except Exception as error:  # noqa: BLE001 - whatever it is, the audit will say more of it
        return undamaged(error, otherwise, event=event, queue=queue)


def undamaged(answer: T | Exception, otherwise: T, *, event: str, queue: str) -> T:
    """As `unless_damaged`, for an answer that came with those of other queues."""
    if not isinstance(answer, Exception):
        return answer
    if isinstance(answer, errors.RelayError) and not isinstance(answer, errors.WrongState):
        raise answer
    text = str(answer) if isinstance(answer, errors.WrongState) else repr(answer)
    _log.warning(event, queue=queue, error=text)
    return otherwise
