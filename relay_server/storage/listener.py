"""Reads published messages, and notices when nobody is at the other end any more."""

import asyncio
from types import TracebackType
from typing import Self

from redis import exceptions as redis_errors
from redis.asyncio import Redis
from redis.asyncio.client import PubSub


class Listener:
    """A pub/sub connection that pings while it is quiet.

    redis-py sends such pings but does not mind when they stay unanswered: a frozen server or a cut
    network would look like a quiet channel for ever. After an error the next call connects and
    subscribes again; what was published meanwhile is lost.
    """

    def __init__(self, client: Redis, *, silence_max_s: float) -> None:
        self._pubsub: PubSub = client.pubsub(ignore_subscribe_messages=True)
        self._window_s = silence_max_s / 2
        self._heard_at: float | None = None

    async def subscribe(self, *channels: str) -> None:
        await self._pubsub.subscribe(*channels)

    async def unsubscribe(self, *channels: str) -> None:
        await self._pubsub.unsubscribe(*channels)

    async def get(self) -> tuple[bytes, bytes] | None:
        """The next (channel, data), or None after at most half of `silence_max_s` without one.

        Subscribe first. Raises redis' ConnectionError when the connection is lost, or silent
        beyond `silence_max_s`.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        if self._heard_at is None:
            self._heard_at = began
        try:
            message = await self._pubsub.get_message(timeout=self._window_s)
        except (redis_errors.RedisError, OSError):
            await self._drop()
            raise
        now = loop.time()
        if message is not None or now - began < self._window_s:  # a pong comes back as None, but early
            self._heard_at = now
        elif now - self._heard_at >= 2 * self._window_s:
            quiet_s = now - self._heard_at
            await self._drop()
            raise redis_errors.ConnectionError(
                f"no reply to pings on the pub/sub connection for {quiet_s:.1f} s"
            )
        if message is None or message["type"] not in {"message", "smessage"}:
            return None
        return message["channel"], message["data"]

    async def _drop(self) -> None:
        self._heard_at = None
        connection = self._pubsub.connection
        if connection is not None:
            await connection.disconnect(nowait=True)

    async def aclose(self) -> None:
        await self._pubsub.aclose()  # type: ignore[no-untyped-call]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
