"""Names every reason why Redis cannot be used, for people who have to fix it."""


class StorageError(Exception):
    """Redis cannot be used. The message names the cause and the fix, and holds no secret."""


class BadRedisUrl(StorageError):
    """The Redis URL cannot be understood, or asks for something Relay does not support."""


class RedisUnreachable(StorageError):
    """Nothing answers at the Redis URL, or not in time."""


class RedisLoginRefused(StorageError):
    """Redis wants a password or a user, or does not accept the one given."""


class RedisForbidden(StorageError):
    """The Redis user lacks the right to a command Relay cannot do without."""


class RedisNotReady(StorageError):
    """Redis answers but is still loading its data, or is busy with a script."""


class RedisTooOld(StorageError):
    """Older than Redis 7.0 or Valkey 7.2."""


class RedisWouldEvict(StorageError):
    """`maxmemory-policy` would let Redis drop jobs when its memory is full."""


class RedisIsReplica(StorageError):
    """The server is a replica; jobs can only be written to a primary."""


class RedisModeUnsupported(StorageError):
    """The URL says another topology than what is there."""


class StoreFormatRefused(StorageError):
    """What is stored is in a format that this version of Relay does not know."""


class DataFolderInUse(StorageError):
    """Another server, or the Redis it left behind, owns the data folder."""


class DataFolderUnusable(StorageError):
    """The data folder cannot be made or written."""


class EmbeddedRedisMissing(StorageError):
    """No usable Redis or Valkey program was found on this machine."""


class EmbeddedRedisFailed(StorageError):
    """The embedded Redis did not start; the message quotes its last log lines."""


class StoreDamaged(EmbeddedRedisFailed):
    """The files of the embedded Redis are damaged. Starting again does not help; the message says what does."""
