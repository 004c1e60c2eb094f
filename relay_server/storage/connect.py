"""Makes the Redis clients, and is the only place that decides how they behave on the wire."""

from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import Connection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig

from relay_server.storage.config import StorageConfig
from relay_server.storage.errors import BadRedisUrl
from relay_server.storage.single_connect import single_connect
from relay_server.storage.urls import check_url, mask_url


def make_client(url: str, config: StorageConfig) -> Redis:
    """The client for scripts. It sends each command once and fails in `command_timeout_s` at most.

    Raises BadRedisUrl. Connects at the first command. Close it with `aclose()`.
    """
    return _client(url, config, connections_max=config.connections_max)


def make_pubsub_client(url: str, config: StorageConfig) -> Redis:
    """The client for pub/sub, through Listener: its reads wait beyond any timeout, connecting does not."""
    return _client(url, config, connections_max=4, shared=True)


def _client(url: str, config: StorageConfig, *, connections_max: int, shared: bool = False) -> Redis:
    check_url(url)
    try:
        options: dict[str, Any] = dict(parse_url(url))
    except ValueError as error:
        raise BadRedisUrl(f"--redis-url {mask_url(url)}: {error}") from None
    # parse_url, not from_url: there, what the URL says would win over what follows.
    options |= {
        # A command whose reply was lost may have run; a second copy would run a script twice.
        "retry": Retry(NoBackoff(), 0),
        "socket_timeout": config.command_timeout_s,
        "socket_connect_timeout": config.connect_timeout_s,
        "health_check_interval": 0,  # it would ping before commands; Listener and health() look by themselves
        "decode_responses": False,
        # RESP2: a script's reply is the same in both, RESP3 is no faster, and it costs a HELLO and
        # a maintenance handshake a connection that proxies and ACLs may refuse. Replies in the
        # shape redis-py gives both protocols, so that nothing else depends on this choice.
        "protocol": 2,
        "legacy_responses": False,
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
        "driver_info": None,  # CLIENT SETINFO is an error on Redis 7.0
        "client_name": "relay-server",
    }
    if "path" not in options:
        options["socket_keepalive"] = True
    if shared:
        options["connection_class"] = single_connect(options.get("connection_class", Connection))
    pool = BlockingConnectionPool(
        max_connections=connections_max, timeout=config.command_timeout_s, **options
    )
    return Redis.from_pool(pool)
