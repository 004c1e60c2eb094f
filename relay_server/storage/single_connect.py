"""Connections that two tasks share: one that reads subscriptions, and those that change them."""

import asyncio
from typing import Any

from redis.asyncio.connection import AbstractConnection, Connection


class _SingleConnect(AbstractConnection):
    """Connects once when two tasks find it broken: redis-py would open two sockets and forget the first."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._connecting = asyncio.Lock()

    async def connect(self) -> None:
        if self.is_connected:  # also for the subscriptions that connecting itself renews
            return
        async with self._connecting:
            await super().connect()  # type: ignore[no-untyped-call]


def single_connect(kind: type[AbstractConnection] = Connection) -> type[AbstractConnection]:
    """That kind of connection (TCP, TLS, unix socket), which several tasks may find broken at once."""
    return type(f"SingleConnect{kind.__name__}", (_SingleConnect, kind), {})
