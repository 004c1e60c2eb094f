"""The settings of the way to Redis; names say seconds or bytes."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageConfig:
    """How Redis is reached. Without `redis_url` an embedded server keeps its data in `data_dir`."""

    redis_url: str | None = field(default=None, repr=False)  # may hold a password
    data_dir: Path | None = None  # None: relay/ below $XDG_STATE_HOME or ~/.local/state

    connect_timeout_s: float = 2.0
    command_timeout_s: float = 5.0
    connections_max: int = 32
    health_timeout_s: float = 2.0
    pubsub_silence_max_s: float = 15.0  # a pub/sub connection that answered no ping for so long is dead

    embedded_lock_wait_s: float = 2.0  # how long to wait for a stopping server to free the folder
    embedded_start_timeout_s: float = 10.0  # until Redis answers at all
    embedded_load_timeout_s: float = 600.0  # until Redis has read its data
    embedded_stop_timeout_s: float = 10.0  # between SIGTERM and SIGKILL
    embedded_restart_backoff_s: float = 0.1  # doubled for each restart in a row, with full jitter
    embedded_restart_backoff_max_s: float = 5.0
    embedded_stable_after_s: float = 30.0  # after so long a run the count of restarts begins anew
    embedded_log_bytes_max: int = 1 << 20  # of redis.log; one older file is kept beside it
