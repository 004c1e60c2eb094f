"""The facts of this process that GetServerInfo shows; app.py fills them in."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from relay_server.engine import StoreFormat
from relay_server.observability.metrics import ScriptTiming
from relay_server.storage import Storage, StorageError, StorageReport

PROTOCOL_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreInfo:
    """The store as it was last seen: its report, whether this server started it, and the format of its data."""

    report: StorageReport
    embedded: bool
    format: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFacts:
    """`start_ms` is since 1970; the limits are those of the configuration; callables are asked at each call."""

    version: str
    server_id: str
    start_ms: int
    payload_bytes_max: int
    streams_max: int
    store_info: Callable[[], Awaitable[StoreInfo]]
    streams: Callable[[], int]
    script_timings: Callable[[], Sequence[ScriptTiming]]


def store_info_of(storage: Storage, store_format: StoreFormat) -> Callable[[], Awaitable[StoreInfo]]:
    """Looks at the store again. While it cannot be reached, gives the last report, with the reason as a warning."""

    async def look() -> StoreInfo:
        try:
            report = await storage.inspect()
        except StorageError as error:
            report = replace(storage.report, warnings=(str(error), *storage.report.warnings))
        return StoreInfo(report=report, embedded=storage.embedded is not None, format=store_format.number)

    return look
