"""Reads published messages, and notices when the other end is gone."""

from collections.abc import Callable

from redis import exceptions as redis_errors
from redis.asyncio import Redis
from redis.asyncio.client import PubSub

from relay_server.storage.failures import FAILURES


class Listener:
    """A connection to sharded channels (what scripts SPUBLISH to) that pings when it is quiet.

    redis-py's own health checks are off. They accept a ping without an answer, so a frozen server or a cut network
    would look like a quiet channel for ever; and they read from the connection while subscribing, at the same time as
    another task's `get`. After an error the next call connects and subscribes again. `on_gone` is called with each
    channel that the server itself ended, as a cluster's node does when it gives a slot away.
    """

    def __init__(
        self,
        client: Redis,
        *,
        silence_max_s: float,
        on_gone: Callable[[bytes], None] = lambda channel: None,
    ) -> None:
        self._pubsub: PubSub = client.pubsub()
        self._window_s = silence_max_s / 2
        self._awaits_pong = False
        self._on_gone = on_gone

    async def subscribe(self, *channels: str) -> None:
        await self._pubsub.ssubscribe(*channels)

    async def unsubscribe(self, *channels: str) -> None:
        await self._pubsub.sunsubscribe(*channels)

    async def get(self) -> tuple[bytes, bytes] | None:
        """The next (channel, data), or None after at most half of `silence_max_s` without one.

        Empty data says that the channel's subscription took effect, the first time and after each reconnection: earlier
        messages are lost. Subscribe first; one task at a time may call this.
        Raises redis' ConnectionError when the connection is lost, or silent for `silence_max_s`.
        """
        try:
            message = await self._pubsub.get_message(timeout=self._window_s)
            if message is None:
                await self._ping_or_give_up()
                return None
        except FAILURES:
            await self._drop()
            raise
        self._awaits_pong = False
        match message["type"]:
            case "smessage":
                return message["channel"], message["data"]
            case "ssubscribe":
                return message["channel"], b""
            case "sunsubscribe" if message["channel"] in self._pubsub.shard_channels:
                # The server ended it unasked.
                del self._pubsub.shard_channels[message["channel"]]
                self._on_gone(message["channel"])
        return None

    async def _ping_or_give_up(self) -> None:
        if self._awaits_pong:
            raise redis_errors.ConnectionError(f"no reply to a ping on pub/sub for {self._window_s:.1f} s")
        self._awaits_pong = True
        await self._pubsub.ping()

    async def _drop(self) -> None:
        self._awaits_pong = False
        connection = self._pubsub.connection
        if connection is not None:
            await connection.disconnect(nowait=True)

    async def aclose(self) -> None:
        await self._pubsub.aclose()  # type: ignore[no-untyped-call]
