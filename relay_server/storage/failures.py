"""The errors that a command to Redis may raise when Redis, or the connection to it, fails."""

from redis import exceptions as redis_errors

# uvloop answers a write to a connection that was just lost with RuntimeError, which redis-py passes on.
FAILURES = (redis_errors.RedisError, OSError, RuntimeError)


def is_lost_connection(error: Exception) -> bool:
    """Whether the connection was lost, so that it is unknown whether the command ran."""
    if isinstance(error, RuntimeError):
        return "closed" in str(error)
    return isinstance(error, redis_errors.ConnectionError | redis_errors.TimeoutError | OSError)
