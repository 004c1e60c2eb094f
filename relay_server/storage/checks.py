"""Decides whether a Redis is safe to keep jobs in, and whether it takes writes right now."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from redis import exceptions as redis_errors
from redis.asyncio import Redis

from relay_server.storage import errors, rights
from relay_server.storage.failures import FAILURES
from relay_server.storage.report import Durability, Health, StorageReport, Trouble
from relay_server.storage.router import Router
from relay_server.storage.urls import Topology

_REDIS_MIN = (7, 0)
_VALKEY_MIN = (7, 2)

# Marked as a writer, so Redis checks before it starts whether a write would be let through, and it
# writes nothing. allow-oom: a full Redis still lets jobs out, so it is in service.
_WRITE_PROBE = "#!lua flags=allow-oom\nreturn 1"


async def inspect_all(router: Router, topology: Topology, shown: str) -> StorageReport:
    """Looks at every primary as `inspect` does. Reports the weakest of them, with the memory of all."""
    try:
        await router.refresh()
        primaries = router.primaries()
    except FAILURES as error:
        raise _topology_refusal(error, topology, shown) from error
    several = len(primaries) > 1
    reports = await asyncio.gather(
        *(
            inspect(node.client, f"{shown} (node {node.shown})" if several else shown, topology)
            for node in primaries
        )
    )
    return replace(_weakest(reports), topology=topology, primaries=len(reports))


def _topology_refusal(error: Exception, topology: Topology, shown: str) -> errors.StorageError:
    text = str(error).lower()
    if topology is Topology.CLUSTER and "cluster support disabled" in text:
        return errors.RedisModeUnsupported(
            f"Redis at {shown} is no cluster (cluster-enabled no). Give its URL as redis://HOST:PORT/DB."
        )
    if topology is Topology.SENTINEL and "no such master" in text:
        return errors.RedisUnreachable(
            f"the Sentinels at {shown} watch no service of that name. "
            "redis-cli -p 26379 SENTINEL MASTERS lists the names; put the right one into --redis-url."
        )
    if topology is Topology.SENTINEL and "unknown command" in text:
        return errors.RedisModeUnsupported(
            f"{shown} is no Sentinel. Give the addresses of the Sentinels (port 26379 by default), "
            "or the URL of the server itself as redis://HOST:PORT/DB."
        )
    return _refusal(error, shown)


_STRENGTH = (Durability.NONE, Durability.OS, Durability.EVERYSEC, Durability.ALWAYS)


def _weakest(reports: Sequence[StorageReport]) -> StorageReport:
    weakest = min(reports, key=lambda report: _STRENGTH.index(report.durability))
    if len(reports) == 1:
        return weakest
    unlimited = any(report.maxmemory_bytes == 0 for report in reports)
    aof = [report.aof_last_write_ok for report in reports if report.aof_last_write_ok is not None]
    return replace(
        weakest,
        durability_known=all(report.durability_known for report in reports),
        maxmemory_bytes=0 if unlimited else sum(report.maxmemory_bytes for report in reports),
        used_memory_bytes=sum(report.used_memory_bytes for report in reports),
        aof_last_write_ok=all(aof) if aof else None,
        warnings=tuple(dict.fromkeys(warning for report in reports for warning in report.warnings)),
    )


async def inspect(client: Redis, shown: str, topology: Topology) -> StorageReport:
    """Refuses a Redis that would lose or not take jobs; describes one that is fine.

    `shown` is the masked URL for messages. Raises a StorageError that says how to fix it.
    """
    info = await _info(client, shown)
    name, version = _refuse_wrong_server(info, shown, topology)
    settings = await _config(client)
    warnings = []

    policy = settings.get("maxmemory-policy") or info.get("maxmemory_policy")
    if policy is None:
        warnings.append(
            f"Redis at {shown} hides maxmemory-policy (CONFIG GET is forbidden). Make sure that it is "
            "noeviction: with any other policy jobs vanish when memory is full."
        )
    elif policy != "noeviction":
        raise errors.RedisWouldEvict(
            f"Redis at {shown} has maxmemory-policy {policy}: it would silently drop jobs "
            "when memory is full. "
            "Fix: redis-cli CONFIG SET maxmemory-policy noeviction (and the same line in redis.conf)."
        )
    durability, known = _durability(info, settings)
    warnings += _durability_warnings(durability, known, shown)
    aof_ok = info.get("aof_last_write_status") == "ok" if durability is not Durability.NONE else None
    if aof_ok is False:
        warnings.append(
            f"Redis at {shown} failed to write its append-only file and may refuse writes. Look for a full "
            "disk or a missing right on its dir."
        )
    return StorageReport(
        server_name=name,
        server_version=version,
        durability=durability,
        durability_known=known,
        maxmemory_bytes=int(info.get("maxmemory", 0)),
        used_memory_bytes=int(info.get("used_memory", 0)),
        aof_last_write_ok=aof_ok,
        warnings=tuple(warnings),
    )


async def health(client: Redis, timeout_s: float) -> Health:
    """One round trip: whether Redis would run a script that writes. Never raises for Redis' state."""
    try:
        async with asyncio.timeout(timeout_s):
            await client.eval(_WRITE_PROBE, 0)
    except TimeoutError:
        return Health(trouble=Trouble.UNREACHABLE, detail=f"no answer in {timeout_s:g} s")
    except FAILURES as error:
        return health_after(error)
    return Health()


def health_after(error: Exception) -> Health:
    """The health of a store that answered a command with this error."""
    return Health(trouble=_trouble(_unwrapped(error)), detail=str(error))


def _trouble(error: Exception) -> Trouble:
    # By the code in front, because Redis and Valkey differ in the text behind it.
    code = str(error).partition(" ")[0].upper()
    match error:
        case redis_errors.AuthenticationError() | redis_errors.NoPermissionError():
            return Trouble.LOGIN
        case redis_errors.BusyLoadingError():
            return Trouble.LOADING
        case redis_errors.ReadOnlyError() | redis_errors.MasterDownError():
            return Trouble.READ_ONLY
        case redis_errors.ClusterDownError():
            return Trouble.UNREACHABLE
        case redis_errors.ConnectionError() | redis_errors.TimeoutError() | OSError():
            return Trouble.UNREACHABLE
    return {
        "MISCONF": Trouble.DISK,
        "NOREPLICAS": Trouble.TOO_FEW_REPLICAS,
        "BUSY": Trouble.BUSY,
        "MASTERDOWN": Trouble.READ_ONLY,
        "READONLY": Trouble.READ_ONLY,
        "LOADING": Trouble.LOADING,
        "NOAUTH": Trouble.LOGIN,
        "NOPERM": Trouble.LOGIN,
    }.get(code, Trouble.OTHER)


async def _info(client: Redis, shown: str) -> Mapping[str, Any]:
    try:
        await client.ping()
        info: Mapping[str, Any] = await client.info()
    except FAILURES as error:
        raise _refusal(_unwrapped(error), shown) from error
    return info


def _unwrapped(error: Exception) -> Exception:
    """The error of the handshake (NOAUTH, NOPERM), which redis-py wraps in a ConnectionError on a unix socket."""
    if type(error) is redis_errors.ConnectionError and isinstance(error.__cause__, redis_errors.RedisError):
        return error.__cause__
    return error


def _refusal(error: Exception, shown: str) -> errors.StorageError:
    if "DB index" in str(error):
        return errors.BadRedisUrl(
            f"Redis at {shown} has no such database ({error}). Use database 0, or raise "
            "`databases` in redis.conf."
        )
    if isinstance(error, redis_errors.NoPermissionError):
        return errors.RedisForbidden(
            f"Redis at {shown} forbids its user a command that Relay needs: {error}. "
            "docs/redis.md says what a cluster needs besides. "
            f"Fix: redis-cli ACL SETUSER <user> {rights.acl_rules()}"
        )
    match _trouble(error):
        case Trouble.LOGIN:
            return errors.RedisLoginRefused(
                f"Redis at {shown} refused the login: {error}. "
                "Fix: put user and password into the URL, as in redis://USER:PASSWORD@HOST:PORT "
                "(best through the environment variable RELAY_REDIS_URL)."
            )
        case Trouble.LOADING:
            return errors.RedisNotReady(
                f"Redis at {shown} is still loading its data. Start relay-server again when it is done; "
                "redis-cli INFO persistence shows how far it is."
            )
        case Trouble.BUSY:
            return errors.RedisNotReady(
                f"Redis at {shown} is busy with a script. Wait, or end it with redis-cli SCRIPT KILL."
            )
        case Trouble.UNREACHABLE:
            return errors.RedisUnreachable(
                f"cannot reach Redis at {shown}: {error}. Start it, or correct --redis-url (RELAY_REDIS_URL); "
                "without that option relay-server runs an embedded Redis of its own."
            )
    return errors.StorageError(f"Redis at {shown} answered with an error: {error}.")


def _refuse_wrong_server(info: Mapping[str, Any], shown: str, topology: Topology) -> tuple[str, str]:
    mode = info.get("redis_mode") or info.get("server_mode")
    if mode == "sentinel":
        raise errors.RedisModeUnsupported(
            f"{shown} is a Sentinel, which keeps no data. Give the URL as redis+sentinel://HOST:PORT/SERVICE, where "
            "SERVICE is a name that redis-cli -p 26379 SENTINEL MASTERS lists."
        )
    if topology is not Topology.CLUSTER and (mode == "cluster" or int(info.get("cluster_enabled", 0))):
        raise errors.RedisModeUnsupported(
            f"Redis at {shown} runs in cluster mode. Give the URL as redis+cluster://HOST:PORT,HOST:PORT."
        )
    name, version, least = "redis", str(info.get("redis_version", "0")), _REDIS_MIN
    # Every version of Valkey reports redis_version 7.2.4.
    if info.get("server_name") == "valkey" or "valkey_version" in info:
        name, version, least = "valkey", str(info.get("valkey_version", version)), _VALKEY_MIN
    if _version(version) < least:
        raise errors.RedisTooOld(
            f"{name} at {shown} is version {version}; Relay needs Redis 7.0 or Valkey 7.2 or newer. "
            "Upgrade it, or leave --redis-url out to use the embedded server."
        )
    if info.get("role") == "slave":
        primary = f"{info.get('master_host', '?')}:{info.get('master_port', '?')}"
        raise errors.RedisIsReplica(
            f"Redis at {shown} is a replica of {primary}; jobs can only be written to the primary. "
            f"Fix: --redis-url redis://{primary}, or promote this one with redis-cli REPLICAOF NO ONE."
        )
    return name, version


def _version(text: str) -> tuple[int, int]:
    numbers = [int(part) if part.isdecimal() else 0 for part in text.split(".")] + [0, 0]
    return numbers[0], numbers[1]


async def _config(client: Redis) -> Mapping[str, str]:
    """Empty where CONFIG is forbidden or renamed, as managed Redis does."""
    try:
        settings = await client.config_get("appendfsync", "maxmemory-policy")
    except redis_errors.ResponseError:
        return {}
    return {str(name): str(value) for name, value in settings.items()}


def _durability(info: Mapping[str, Any], settings: Mapping[str, str]) -> tuple[Durability, bool]:
    if "aof_enabled" not in info:
        return Durability.NONE, False
    if not int(info["aof_enabled"]):
        return Durability.NONE, True
    modes = {"always": Durability.ALWAYS, "everysec": Durability.EVERYSEC, "no": Durability.OS}
    mode = modes.get(settings.get("appendfsync", ""))
    # INFO does not tell how often it syncs; everysec is Redis' own default.
    return (mode, True) if mode is not None else (Durability.EVERYSEC, False)


def _durability_warnings(durability: Durability, known: bool, shown: str) -> list[str]:
    if durability is Durability.NONE and known:
        return [
            f"Redis at {shown} keeps no append-only file: every job is lost when it stops. "
            "Fix: redis-cli CONFIG SET appendonly yes, then CONFIG SET appendfsync always "
            "(and the same lines in redis.conf)."
        ]
    if not known:
        return [
            f"Redis at {shown} does not tell its appendfsync setting (CONFIG GET is forbidden): what "
            "survives a power loss is not known. Ask its provider, or allow it: "
            "redis-cli ACL SETUSER <user> +config|get"
        ]
    if durability is Durability.OS:
        return [
            f"Redis at {shown} has appendfsync no: a power loss may take the last 30 s of jobs. "
            "Fix: redis-cli CONFIG SET appendfsync always (or everysec)."
        ]
    return []
