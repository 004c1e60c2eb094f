"""The Python SDK: clients for producers and operators of a Relay server."""

from relay_client._version import __version__
from relay_client.admin import Admin
from relay_client.async_client import AsyncClient
from relay_client.client import Client
from relay_client.errors import (
    DeadlineExceeded,
    IdempotencyMismatch,
    InvalidField,
    Overloaded,
    QueueFull,
    QuotaExceeded,
    RelayError,
    Unavailable,
)
from relay_client.jobs import Enqueued, JobSpec, RetryPolicy

__all__ = [
    "Admin",
    "AsyncClient",
    "Client",
    "DeadlineExceeded",
    "Enqueued",
    "IdempotencyMismatch",
    "InvalidField",
    "JobSpec",
    "Overloaded",
    "QueueFull",
    "QuotaExceeded",
    "RelayError",
    "RetryPolicy",
    "Unavailable",
    "__version__",
]
