"""What Redis answers when it does not do what a script or command asked, in the words of the domain."""

import re
from collections.abc import Mapping

from redis import exceptions as redis_errors

from relay_server import errors
from relay_server.engine.keys import QUEUE_KEYS
from relay_server.storage.failures import is_lost_connection

# Replies by which Redis says that it cannot serve now. Texts differ between servers, codes do not.
_UNAVAILABLE = (
    "LOADING",
    "READONLY",
    "MASTERDOWN",
    "MISCONF",
    "BUSY",
    "CLUSTERDOWN",
    "NOREPLICAS",
    "TRYAGAIN",
    "UNBLOCKED",
)
_REFUSED = (
    redis_errors.ReadOnlyError,
    redis_errors.BusyLoadingError,
    redis_errors.TryAgainError,
    redis_errors.ClusterDownError,
    redis_errors.MasterDownError,
)
RETRY_AFTER_MS = 500

_WRONG_TYPE = re.compile(r"RELAYTYPE (\w+) is a (\w+)")


def wrong_type(error: Exception, keys: Mapping[str, bytes]) -> errors.WrongState | None:
    """The error of a script that found a key of a wrong type, with the way out. None for any other error."""
    match = _WRONG_TYPE.search(str(error))
    if match is None:
        return None
    name, kind = match.groups()
    key = keys[name].decode()
    whose = "this queue" if name in QUEUE_KEYS else "the whole store"
    return errors.WrongState(
        f"{name} of {whose} is a {kind}, which Relay never stores there. Move it out of the way: "
        f"redis-cli RENAME '{key}' 'damaged:{key}'",
        metadata={"key": key},
    )


def domain_error(error: Exception) -> Exception:
    """Redis' error as the domain knows it; an unexpected one stays what it is."""
    if isinstance(error, errors.RelayError):
        return error
    if isinstance(error, redis_errors.OutOfMemoryError) or str(error).startswith("OOM"):
        return errors.StoreOutOfMemory(retry_after_ms=RETRY_AFTER_MS)
    lost = is_lost_connection(error)
    refused = isinstance(error, _REFUSED)
    if lost or refused or str(error).startswith(_UNAVAILABLE):
        return errors.StoreUnavailable(f"Redis: {type(error).__name__}", retry_after_ms=RETRY_AFTER_MS)
    return error
