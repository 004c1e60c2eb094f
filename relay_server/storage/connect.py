"""Makes the clients of each Redis node, and is the only place that decides how they behave on the wire."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redis import exceptions as redis_errors
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import Connection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig

from relay_server.storage.config import StorageConfig
from relay_server.storage.errors import BadRedisUrl
from relay_server.storage.single_connect import single_connect
from relay_server.storage.urls import Place, mask_url

_CLIENT_CONNECTIONS_MAX = 4
_PUBSUB_CONNECTIONS_MAX = 4

Address = tuple[str, int]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Node:
    """One Redis server. `client` sends each command once, and fails within the timeouts.

    `pipe_client` is for pipelines, through `pipeline`. `pubsub_client` is for subscriptions, through Listener: its
    reads wait beyond any timeout, connecting does not. `address` is None for a unix socket.
    """

    address: Address | None
    client: Redis
    pipe_client: Redis
    pubsub_client: Redis
    timeout_s: float

    @property
    def shown(self) -> str:
        """For people."""
        return "unix socket" if self.address is None else f"{self.address[0]}:{self.address[1]}"

    async def pipeline(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        """The replies of the commands, sent together and once; an error reply is its exception.

        Raises what redis-py raises: a TimeoutError when they are not all there within `timeout_s`. redis-py's own
        pipeline times each reply, and needs seven turns of the event loop to send, to time and to let go.
        """
        try:
            async with asyncio.timeout(self.timeout_s):
                return await self._replies(commands)
        except TimeoutError:
            text = f"{self.shown} did not answer {len(commands)} commands within {self.timeout_s:g} s"
            raise redis_errors.TimeoutError(text) from None

    async def _replies(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        pool = self.pipe_client.connection_pool
        connection = await pool.get_connection()  # type: ignore[no-untyped-call]
        replies: list[Any] = []
        try:
            await connection.send_packed_command(connection.pack_commands(commands), check_health=False)
            for name, *_ in commands:
                try:
                    replies.append(await self.pipe_client.parse_response(connection, name))
                except redis_errors.ResponseError as error:
                    replies.append(error)
        finally:
            if len(replies) < len(commands):
                # Replies still to come would be taken for those of later commands.
                await connection.disconnect(nowait=True)
            await pool.release(connection)
        return replies

    async def close(self) -> None:
        await self.client.aclose()
        await self.pipe_client.aclose()
        await self.pubsub_client.aclose()


class Nodes:
    """Makes nodes that share user, password, TLS and database, as one URL says them."""

    def __init__(self, place: Place, config: StorageConfig) -> None:
        self._place = place
        self._config = config
        try:
            self._options = _wire_options(place.node_url, config)
        except ValueError as error:
            raise BadRedisUrl(f"--redis-url {mask_url(place.node_url)}: {error}") from None

    def single(self) -> Node:
        """The node that the URL names."""
        return self._node(None if "path" in self._options else self._place.addresses[0], {})

    def at(self, address: Address) -> Node:
        return self._node(address, {"host": address[0], "port": address[1]})

    def sentinel(self, address: Address) -> Redis:
        """A client of a Sentinel, which has a user and password of its own."""
        names = {"username": self._place.sentinel_username, "password": self._place.sentinel_password}
        own = {name: value or None for name, value in names.items()}
        return _client(
            self._options | own | {"host": address[0], "port": address[1], "db": 0}, 2, self._config
        )

    def _node(self, address: Address | None, where: dict[str, Any]) -> Node:
        options = self._options | where
        shared = {"connection_class": single_connect(options.get("connection_class", Connection))}
        return Node(
            address=address,
            client=_client(options, _CLIENT_CONNECTIONS_MAX, self._config),
            pipe_client=_client(
                options | {"socket_timeout": None}, self._config.connections_max, self._config
            ),
            pubsub_client=_client(options | shared, _PUBSUB_CONNECTIONS_MAX, self._config),
            timeout_s=self._config.command_timeout_s,
        )


def _wire_options(url: str, config: StorageConfig) -> dict[str, Any]:
    options: dict[str, Any] = dict(parse_url(url))
    # parse_url, not from_url, in which options of the URL would override those below.
    options |= {
        # No retries: a command whose reply was lost may have run, and a retry would run a script twice.
        "retry": Retry(NoBackoff(), 0),
        "socket_timeout": config.command_timeout_s,
        "socket_connect_timeout": config.connect_timeout_s,
        "health_check_interval": 0,  # no pings before commands: Listener and health() check connections by themselves
        "decode_responses": False,
        # RESP2: replies of scripts are the same in RESP3, which is no faster and needs a HELLO and a maintenance
        # handshake on each connection; proxies and ACLs may refuse those. redis-py gives the replies one shape in
        # both protocols, so nothing else depends on this choice.
        "protocol": 2,
        "legacy_responses": False,
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
        "driver_info": None,  # CLIENT SETINFO is an error on Redis 7.0
        "client_name": "relay-server",
    }
    if "path" not in options:
        options["socket_keepalive"] = True
    return options


def _client(options: dict[str, Any], connections_max: int, config: StorageConfig) -> Redis:
    pool = BlockingConnectionPool(
        max_connections=connections_max, timeout=config.command_timeout_s, **options
    )
    return Redis.from_pool(pool)
