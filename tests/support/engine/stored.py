"""All that Redis holds of a queue, as tests compare it, which keys may be there, and what the audit finds."""

import re
from collections import Counter
from typing import Any

from relay_server.engine import Operations, keys, record
from relay_server.model import Finding
from tests.support.redis_members import RawClients
from tests.support.stores import Raw

# What may stay of a queue that holds no job; everything else must have a TTL.
_OUTLIVES_A_DRAIN = {"conf", "count", "history"}
_CALLS = re.compile(r"^cmdstat_([^:]+):calls=(\d+)", re.MULTILINE)
_KEY = re.compile(r"relay:\{([^}]+)\}:([a-z]+)(?::|$)")


async def command(client: Raw, *words: Any) -> Any:
    """`client` is a store's raw_client."""
    return await client.execute_command(*words)


async def all_keys(client: Raw, pattern: str = "*") -> list[bytes]:
    """Of all servers, if there are several."""
    found = set[bytes]()
    for node in _nodes(client):
        cursor = b"0"
        while True:
            cursor, page = await command(node, "SCAN", cursor, "MATCH", pattern, "COUNT", 1000)
            found.update(page)
            if int(cursor) == 0:
                break
    return sorted(found)


async def calls(client: Raw) -> Counter[str]:
    """How often each command ran since CONFIG RESETSTAT, on all servers together."""
    total = Counter[str]()
    for node in _nodes(client):
        stats = (await command(node, "INFO", "commandstats")).decode()
        total.update({name: int(number) for name, number in _CALLS.findall(stats)})
    return total


def _nodes(client: Raw) -> list[Any]:
    return client.nodes if isinstance(client, RawClients) else [client]


async def dump(client: Raw, queue: str) -> dict[str, Any]:
    """Everything stored of a queue, to compare: key without prefix -> content, with whether it has a TTL.

    Records and failures are decoded, so that a difference can be read.
    """
    prefix = f"relay:{{{queue}}}:"
    content: dict[str, Any] = {}
    for raw in await all_keys(client, prefix + "*"):
        name = raw.decode("utf-8", "backslashreplace").removeprefix(prefix)
        content[name] = await _content(client, raw, name)
        if await command(client, "PTTL", raw) != -1:
            content[name] = ("has a TTL", content[name])
    return content


async def _content(client: Raw, key: bytes, name: str) -> Any:
    kind = (await command(client, "TYPE", key)).decode()
    match kind:
        case "zset":
            flat = await command(client, "ZRANGE", key, 0, -1, "WITHSCORES")
            return list(zip(flat[::2], map(float, flat[1::2]), strict=True))
        case "hash":
            flat = await command(client, "HGETALL", key)
            fields: dict[bytes, bytes] = dict(zip(flat[::2], flat[1::2], strict=True))
            if name == "state":
                return {job_id: record.unpack_record(raw) for job_id, raw in fields.items()}
            if name == "error":
                return {job_id: record.unpack_failures(raw) for job_id, raw in fields.items()}
            return fields
        case "string":
            return await command(client, "GET", key)
        case "list":
            return await command(client, "LRANGE", key, 0, -1)
        case _:
            return kind, await command(client, "DUMP", key)


async def check_keys(client: Raw, *, drained: bool) -> set[str]:
    """The queues there are. Global keys are known by name; a queue's are declared, or have a TTL."""
    queues = set[str]()
    for raw in await all_keys(client):
        known = {keys.FORMAT, *keys.NAMES_KEYS.values(), *keys.SESSION_KEYS.values()}
        if raw in known or not raw.startswith(b"relay:"):
            continue
        match = _KEY.match(raw.decode("utf-8", "surrogateescape"))
        assert match is not None, f"a key of no queue: {raw!r}"
        queue, name = match.groups()
        queues.add(queue)
        has_ttl = await command(client, "PTTL", raw) != -1
        if name in {"key", "seen", "claims"}:
            assert has_ttl, f"no TTL on {raw!r}"
        elif name not in keys.QUEUE_KEYS or (drained and name not in _OUTLIVES_A_DRAIN):
            assert has_ttl, f"left behind: {raw!r}"
    return queues


async def audit(ops: Operations, queue: str) -> list[Finding]:
    """The findings of all pages."""
    page = await ops.audit(queue)
    found = list(page.findings)
    while page.cursor is not None:
        page = await ops.audit(queue, page.cursor)
        found += page.findings
    return found
