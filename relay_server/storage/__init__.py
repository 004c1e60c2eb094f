"""The way to Redis: a given server or an embedded one, checked before it is trusted with jobs."""

from relay_server.storage.config import StorageConfig
from relay_server.storage.datafolder import default_data_dir
from relay_server.storage.errors import (
    DataFolderInUse,
    EmbeddedRedisMissing,
    RedisUnreachable,
    StorageError,
    StoreDamaged,
)
from relay_server.storage.listener import Listener
from relay_server.storage.report import Durability, Health, StorageReport, Trouble
from relay_server.storage.store import Storage, open_storage
from relay_server.storage.urls import mask_url

__all__ = [
    "DataFolderInUse",
    "Durability",
    "EmbeddedRedisMissing",
    "Health",
    "Listener",
    "RedisUnreachable",
    "Storage",
    "StorageConfig",
    "StorageError",
    "StorageReport",
    "StoreDamaged",
    "Trouble",
    "default_data_dir",
    "mask_url",
    "open_storage",
]
