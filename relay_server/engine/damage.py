"""A queue with damaged keys costs its own turn and a line of the log, and stops no other queue."""

from collections.abc import Awaitable
from typing import TypeVar

import structlog

from relay_server import errors

_log = structlog.get_logger(__name__)

T = TypeVar("T")


async def unless_damaged(asked: Awaitable[T], otherwise: T, *, event: str, queue: str) -> T:
    """What was asked of the queue; `otherwise`, and a warning `event`, when it cannot be told.

    Raises RelayError for what is no damage of this queue, such as StoreUnavailable.
    """
    try:
        return await asked
    except errors.WrongState as error:
        _log.warning(event, queue=queue, error=str(error))
    except errors.RelayError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, the audit will say more of it
        _log.warning(event, queue=queue, error=repr(error))
    return otherwise
