"""The yardstick of T3: the engine's own claim and ack scripts, driven by a pipelined Redis client alone."""

import os
import time

from redis.asyncio import Redis

from benchmarks.stack import Stack
from relay_server.engine import record
from relay_server.engine.keys import queue_keys
from relay_server.engine.lua_script import load_scripts

BATCH = 200
IN_FLIGHT = 4


async def drain_directly(stack: Stack, queue: str, jobs: int, payload: bytes) -> float:
    """Jobs a second that were claimed and acknowledged, `BATCH` a script, several scripts a pipeline."""
    scripts, keys = load_scripts(), queue_keys(queue)
    path = stack.redis.connection_pool.connection_kwargs["path"]
    client = Redis(unix_socket_path=path, protocol=2)

    def call(name: str, *args: bytes | str | int) -> tuple[object, ...]:
        script = scripts[name]
        names = [keys[key] for key in script.keys]
        return ("EVALSHA", script.sha, len(names), *names, *args)

    try:
        for start in range(0, jobs, 500):
            rows: list[bytes] = []
            for _ in range(min(500, jobs - start)):
                job = record.new_job(os.urandom(16), "bench.noop", payload)
                rows += [job.id, job.plan + record.NO_KEY, job.tail, payload]
            requests = (len(rows) // 4).to_bytes(2, "little") + b"\0"
            pipe = client.pipeline(transaction=False)
            pipe.execute_command(*call("enqueue", "", 60_000, requests, *rows))
            await pipe.execute()
        done = 0
        acks: list[tuple[object, ...]] = []
        started = time.perf_counter()
        while done < jobs:
            tokens = [os.urandom(16) for _ in range(IN_FLIGHT)]
            pipe = client.pipeline(transaction=False)
            for command in acks:
                pipe.execute_command(*command)
            for token in tokens:
                pipe.execute_command(
                    *call("claim", "", 1, "direct", token, 1 << 20, token, 30_000, BATCH, "direct")
                )
            replies = await pipe.execute()
            for reply in replies[: len(acks)]:
                done += reply.count(b"OK")
            acks = []
            for token, reply in zip(tokens, replies[-IN_FLIGHT:], strict=True):
                ids = reply[7::3]
                if ids:
                    acks.append(call("ack", "", *(part for id_ in ids for part in (id_, token))))
        return jobs / (time.perf_counter() - started)
    finally:
        await client.aclose()
