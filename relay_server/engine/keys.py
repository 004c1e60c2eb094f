"""Every key Relay has in Redis. All keys of a queue share one hash tag, so they live in one slot and move together."""

# name -> type; `channel` is a sharded pub/sub channel, declared like a key so that a cluster finds its slot.
QUEUE_KEYS = {
    "ready": "zset",  # id -> order score
    "delayed": "zset",  # id -> due, ms
    "inflight": "zset",  # id -> lease deadline, ms
    "dead": "zset",  # id -> time of death, ms
    "body": "hash",  # id -> serialized Job without its id
    "state": "hash",  # id -> packed record (record.py)
    "error": "hash",  # id -> packed failures, only of jobs that failed
    "unreadable": "hash",  # id -> where it stood and why it was set aside, of jobs that cannot be read
    "conf": "hash",  # settings, pause, token bucket, last clock that the reaper or a claim saw, last outage
    "count": "hash",  # totals since creation
    "claims": "hash",  # server id -> its last claim
    "history": "hash",  # minute -> totals at its end
    "wake": "channel",  # "ready", "due MS" or "cancel IDS"
}

# Of all queues, in one slot: a queue's name has no colon, so the tag is nobody's.
QUEUES = b"relay:queues"  # zset: name -> last use, ms
OWNER = b"relay:{relay:queues}:owner"  # hash: name -> the principal that made it
OWNED = b"relay:{relay:queues}:owned"  # hash: principal -> how many it made
NAMES_KEYS = {"used": QUEUES, "owner": OWNER, "owned": OWNED}
FORMAT = b"relay:format"  # the number of the format that everything is stored in
# Workers' sessions share a slot. No queue has such a name.
SESSION_KEYS = {
    name: b"relay:{@workers}:" + name.encode()
    for name in (
        "entry",  # hash: session id -> what it is (roster.py)
        "seen",  # zset: session id -> when its server last renewed it, ms
        "name",  # zset of equal scores: worker and session id, in the order of listings
        "crew",  # zset of equal scores: queue, slots and session id, of connected workers
    )
}

_ENDS = tuple((name, name.encode()) for name in QUEUE_KEYS)


def queue_keys(queue: str) -> dict[str, bytes]:
    """The fixed keys of a queue, by name. Queue names hold no braces (validation), so the tag is the name.

    They are made anew each time, which takes a microsecond. To keep them for thousands of queues would take megabytes.
    """
    start = b"relay:{%s}:" % queue.encode()
    return {name: start + end for name, end in _ENDS}


def idempotency_key(queue: str, key: str) -> bytes:
    """Holds the id of the job that took an idempotency key, and the hash of its content. Has a TTL."""
    return f"relay:{{{queue}}}:key:{key}".encode("utf-8", "surrogatepass")


def seen_key(queue: str, request_id: bytes) -> bytes:
    """Remembers that a request was applied, with its answer. Has a TTL."""
    return b"relay:{%s}:seen:%s" % (queue.encode(), request_id)


def server_channel(server_id: str) -> bytes:
    """Where a server hears window reports that reached another one."""
    return f"relay:server:{{{server_id}}}".encode()
