"""A pub/sub connection that several tasks share: one reads it, others subscribe and unsubscribe."""

import asyncio
from typing import Any

from redis.asyncio.connection import AbstractConnection, Connection


class _SingleConnect(AbstractConnection):
    """Connects once when two tasks find it broken: redis-py would open two sockets and forget the first."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._connecting = asyncio.Lock()

    async def connect(self) -> None:
        if self.is_connected:  # `connect` renews subscriptions, and that calls `connect` again
            return
        async with self._connecting:
            await super().connect()  # type: ignore[no-untyped-call]


def single_connect(kind: type[AbstractConnection] = Connection) -> type[AbstractConnection]:
    """The class for that kind of connection (TCP, TLS, unix socket), safe when several tasks find it broken at once."""
    return type(f"SingleConnect{kind.__name__}", (_SingleConnect, kind), {})
