"""Opens and closes the way to Redis: embedded or given, one server, Sentinels or a cluster, checked."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

import structlog

from relay_server.storage import checks
from relay_server.storage.cluster import Cluster
from relay_server.storage.config import StorageConfig
from relay_server.storage.connect import Node, Nodes
from relay_server.storage.embedded import EmbeddedRedis, start_embedded
from relay_server.storage.failures import FAILURES
from relay_server.storage.link import Link
from relay_server.storage.listener import Listener
from relay_server.storage.report import Health, StorageReport
from relay_server.storage.router import Router, Single
from relay_server.storage.sentinels import Sentinels
from relay_server.storage.shard_listener import ShardListener
from relay_server.storage.urls import Place, Topology, mask_url, read_url

_log = structlog.get_logger(__name__)


class Storage:
    """A Redis that passed the checks. Made by `open_storage`; close it, or use it in `async with`.

    `link` is for scripts and commands: one command is sent once, and fails within the timeouts.
    `embedded` is None when a URL was given.
    """

    def __init__(
        self,
        *,
        config: StorageConfig,
        place: Place,
        shown: str,
        link: Link,
        report: StorageReport,
        embedded: EmbeddedRedis | None,
        cleanup: AsyncExitStack,
    ) -> None:
        self.link = link
        self.report = report
        self.embedded = embedded
        self.shown = shown  # the place of the data, for people: the masked URL, or `embedded:FOLDER`
        self._place = place
        self._config = config
        self._cleanup = cleanup
        self._shards_away: tuple[str, ...] = ()

    @property
    def primaries(self) -> Sequence[Node]:
        """The nodes that take writes, as far as known."""
        return self.link.router.primaries()

    def listen(self) -> Listener | ShardListener:
        """A new way to hear channels, which notices a dead peer."""
        silence_max_s = self._config.pubsub_silence_max_s
        if self._place.topology is Topology.SINGLE:
            return Listener(self.primaries[0].pubsub_client, silence_max_s=silence_max_s)
        return ShardListener(self.link.router, silence_max_s=silence_max_s)

    async def health(self) -> Health:
        """Whether Redis takes writes now: one round trip, at most `health_timeout_s`.

        A cluster is healthy while one of its shards is: queues of failing shards wait, and the log says so.
        """
        try:
            primaries = self.primaries
        except FAILURES as error:
            self.link.router.doubt()
            return checks.health_after(error)
        healths = await asyncio.gather(
            *(checks.health(node.client, self._config.health_timeout_s) for node in primaries)
        )
        ill = [(node, health) for node, health in zip(primaries, healths, strict=True) if not health.ok]
        if ill:
            self.link.router.doubt()
        if healths and len(ill) == len(healths):
            return healths[0]
        shards_away = tuple(f"{node.shown}: {health.trouble}" for node, health in ill)
        if shards_away != self._shards_away:
            _log.warning(
                "shards_away" if shards_away else "shards_back", shards=shards_away or self._shards_away
            )
            self._shards_away = shards_away
        return Health()

    async def inspect(self) -> StorageReport:
        """Checks again and renews `report`. Raises a StorageError as `open_storage` does."""
        self.report = await checks.inspect_all(self.link.router, self._place.topology, self.shown)
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
        shown = f"embedded:{embedded.folder.path}" if embedded is not None else mask_url(url)
        place = read_url(url)
        router = make_router(place, config)
        cleanup.push_async_callback(router.aclose)
        report = await checks.inspect_all(router, place.topology, shown)
        for warning in report.warnings:
            _log.warning("storage_warning", warning=warning)
        return Storage(
            config=config,
            place=place,
            shown=shown,
            link=Link(router, wait_replicas=place.wait_replicas),
            report=report,
            embedded=embedded,
            cleanup=cleanup.pop_all(),
        )


def make_router(place: Place, config: StorageConfig) -> Router:
    """A router that knows no node yet; `refresh` asks. Close it with `aclose()`."""
    nodes = Nodes(place, config)
    if place.topology is Topology.SENTINEL:
        sentinels = [nodes.sentinel(address) for address in place.addresses]
        return Sentinels(sentinels, place.service, open_node=nodes.at)
    if place.topology is Topology.CLUSTER:
        return Cluster(place.addresses, open_node=nodes.at)
    return Single(nodes.single())
