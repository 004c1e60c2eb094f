"""Opens and closes the way to Redis: embedded or given, checked, with its clients."""

from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

import structlog
from redis.asyncio import Redis

from relay_server.storage import checks
from relay_server.storage.config import StorageConfig
from relay_server.storage.connect import make_client, make_pubsub_client
from relay_server.storage.embedded import EmbeddedRedis, start_embedded
from relay_server.storage.listener import Listener
from relay_server.storage.report import Health, StorageReport
from relay_server.storage.urls import mask_url

_log = structlog.get_logger(__name__)


class Storage:
    """A Redis that passed the checks. Made by `open_storage`; close it, or use it in `async with`.

    `client` is for scripts: one command is sent once, and fails within the timeouts. `pubsub_client`
    is for subscriptions only. `embedded` is None when a URL was given.
    """

    def __init__(
        self,
        *,
        config: StorageConfig,
        url: str,
        client: Redis,
        pubsub_client: Redis,
        report: StorageReport,
        embedded: EmbeddedRedis | None,
        cleanup: AsyncExitStack,
    ) -> None:
        self.client = client
        self.pubsub_client = pubsub_client
        self.report = report
        self.embedded = embedded
        self._config = config
        self._url = url
        self._cleanup = cleanup

    @property
    def shown(self) -> str:
        """Where the data is, for people: the masked URL, or `embedded:FOLDER`."""
        return _shown(self._url, self.embedded)

    def listen(self) -> Listener:
        """A new pub/sub connection that notices a dead peer."""
        return Listener(self.pubsub_client, silence_max_s=self._config.pubsub_silence_max_s)

    async def health(self) -> Health:
        """Whether Redis takes writes now: one round trip, at most `health_timeout_s`."""
        return await checks.health(self.client, self._config.health_timeout_s)

    async def inspect(self) -> StorageReport:
        """Checks again and renews `report`. Raises a StorageError as `open_storage` does."""
        self.report = await checks.inspect(self.client, self.shown)
        return self.report

    async def close(self) -> None:
        await self._cleanup.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


async def open_storage(config: StorageConfig) -> Storage:
    """Starts the embedded Redis unless a URL is given, connects and checks.

    Raises a StorageError whose message says what to change; nothing is left running then.
    """
    async with AsyncExitStack() as cleanup:
        embedded = None
        if config.redis_url is None:
            embedded = await start_embedded(config)
            cleanup.push_async_callback(embedded.stop)
        url = embedded.url if embedded is not None else config.redis_url or ""
        client = make_client(url, config)
        cleanup.push_async_callback(client.aclose)
        pubsub_client = make_pubsub_client(url, config)
        cleanup.push_async_callback(pubsub_client.aclose)
        report = await checks.inspect(client, _shown(url, embedded))
        for warning in report.warnings:
            _log.warning("storage_warning", warning=warning)
        return Storage(
            config=config,
            url=url,
            client=client,
            pubsub_client=pubsub_client,
            report=report,
            embedded=embedded,
            cleanup=cleanup.pop_all(),
        )


def _shown(url: str, embedded: EmbeddedRedis | None) -> str:
    return f"embedded:{embedded.folder.path}" if embedded is not None else mask_url(url)
