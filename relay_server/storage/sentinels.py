"""Which node has a key behind Sentinels: the primary that they name."""

import asyncio
from collections.abc import Callable, Iterable, Sequence

import structlog
from redis import exceptions as redis_errors
from redis.asyncio import Redis

from relay_server.storage.connect import Address, Node
from relay_server.storage.failures import FAILURES
from relay_server.storage.router import Refreshes

_log = structlog.get_logger(__name__)


class Sentinels:
    """The router of the primary that Sentinels name for a service.

    Sentinels may disagree: the answer with the highest failover epoch counts, and an answer with a lower epoch than one
    before is ignored.
    """

    sharded = False
    _PERIOD_S = 1.0
    _ANSWER_WITHIN_S = 1.0

    def __init__(
        self, sentinels: Iterable[Redis], service: str, *, open_node: Callable[[Address], Node]
    ) -> None:
        self.changes = 0
        self._sentinels = tuple(sentinels)
        self._service = service
        self._open = open_node
        self._primary: Node | None = None
        self._epoch = -1
        self._lock = asyncio.Lock()
        self._refreshes = Refreshes(self.refresh, period_s=self._PERIOD_S)
        for client in self._sentinels:
            client.response_callbacks.clear()

    def node(self, key: bytes) -> Node:
        if self._primary is None:
            raise redis_errors.ClusterDownError(f"no Sentinel named a primary of {self._service}")
        return self._primary

    def node_at(self, address: Address) -> Node:
        return self.node(b"")

    def moved(self, slot: int, address: Address) -> None:
        """Only a cluster has slots that move."""

    def primaries(self) -> Sequence[Node]:
        return (self.node(b""),)

    def doubt(self) -> None:
        self._refreshes.ask()

    async def refresh(self) -> None:
        async with self._lock:
            await self._refresh()

    async def _refresh(self) -> None:
        answers = await asyncio.gather(*(self._ask(client) for client in self._sentinels))
        known = [answer for answer in answers if not isinstance(answer, Exception)]
        self._refreshes.watch()
        if not known:
            raise redis_errors.ConnectionError(
                f"no Sentinel knows a primary of {self._service}: {'; '.join(sorted({str(a) for a in answers}))}"
            )
        epoch, address = max(known)
        if epoch < self._epoch or (self._primary is not None and self._primary.address == address):
            return
        node = self._open(address)
        try:
            if not await _is_primary(node):  # Sentinels may name it before it was promoted
                self._refreshes.ask()
                await node.close()
                return
        except BaseException:
            await node.close()
            raise
        before, self._primary, self._epoch = self._primary, node, epoch
        self.changes += 1
        if before is not None:
            _log.warning("primary_changed", before=before.shown, now=node.shown, epoch=epoch)
            # If the old primary froze, calls that wait for it would wait until their timeout.
            await before.close()

    async def _ask(self, client: Redis) -> tuple[int, Address] | Exception:
        try:
            async with asyncio.timeout(self._ANSWER_WITHIN_S):
                reply = await client.execute_command("SENTINEL", "MASTER", self._service)  # type: ignore[no-untyped-call]
        except (*FAILURES, TimeoutError) as error:
            return error
        fields = dict(zip(reply[::2], reply[1::2], strict=True))
        return int(fields[b"config-epoch"]), (fields[b"ip"].decode(), int(fields[b"port"]))

    async def aclose(self) -> None:
        await self._refreshes.aclose()
        for client in self._sentinels:
            await client.aclose()
        if self._primary is not None:
            await self._primary.close()


async def _is_primary(node: Node) -> bool:
    info = await node.client.info("replication")
    return bool(info.get("role") == "master")
