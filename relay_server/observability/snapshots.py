"""Reads how all queues stand at one moment, for the sampler, Stats and WatchStats."""

import asyncio
from collections.abc import Iterable

import structlog

from relay_server import errors
from relay_server.engine import Operations
from relay_server.model import QueueSnapshot

_log = structlog.get_logger(__name__)
_AT_ONCE = 64  # as many as one pipeline takes


async def store_now_ms(ops: Operations) -> int:
    """The store's time. It comes with the sizes of any queue, of one that does not exist too."""
    return (await ops.stats("-")).now_ms


async def read_queues(ops: Operations, queues: Iterable[str]) -> list[QueueSnapshot]:
    """A snapshot of each queue, in the order given. A queue with damaged keys is logged and left out.

    Raises StoreUnavailable.
    """
    gate = asyncio.Semaphore(_AT_ONCE)

    async def read(queue: str) -> QueueSnapshot | None:
        async with gate:
            try:
                return await ops.stats(queue)
            except errors.WrongState as error:
                _log.warning("queue_unreadable", queue=queue, error=str(error))
                return None
            except errors.RelayError:
                raise
            except Exception as error:  # noqa: BLE001 - one damaged queue must not hide the others
                _log.warning("queue_unreadable", queue=queue, error=repr(error))
                return None

    found = await asyncio.gather(*(read(queue) for queue in queues))
    return [snapshot for snapshot in found if snapshot is not None]
