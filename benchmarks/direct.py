"""The yardstick of T3: the engine's own claim and ack scripts, driven by a pipelined Redis client alone."""

import os
import time
from collections.abc import Sequence

from redis.asyncio import Redis

from benchmarks.stack import Stack
from relay_server.engine import record
from relay_server.engine.keys import queue_keys
from relay_server.engine.lua_script import Arg, Row, load_scripts

BATCH = 200
IN_FLIGHT = 4


async def drain_directly(stack: Stack, queue: str, jobs: int, payload: bytes) -> float:
    """Jobs a second that were claimed and acknowledged, `BATCH` a script, several scripts a pipeline."""
    scripts, keys = load_scripts(), queue_keys(queue)
    path = stack.redis.connection_pool.connection_kwargs["path"]
    client = Redis(unix_socket_path=path, protocol=2)

    def call(name: str, rows: Sequence[Row] = (), **args: Arg) -> tuple[object, ...]:
        script = scripts[name]
        argv = script.argv({"now": "", "seed": 1}, args, rows)
        return ("EVALSHA", script.sha, len(script.keys), *(keys[key] for key in script.keys), *argv)

    try:
        for start in range(0, jobs, 500):
            new = [
                record.new_job(os.urandom(16), "bench.noop", payload) for _ in range(min(500, jobs - start))
            ]
            rows = [(job.id, job.plan + record.NO_KEY, job.tail, payload) for job in new]
            requests = len(rows).to_bytes(2, "little") + b"\0"
            await client.execute_command(*call("enqueue", rows, horizon_ms=60_000, requests=requests))  # type: ignore[no-untyped-call]
        done = 0
        acks: list[tuple[object, ...]] = []
        started = time.perf_counter()
        while done < jobs:
            tokens = [os.urandom(16) for _ in range(IN_FLIGHT)]
            pipe = client.pipeline(transaction=False)
            for command in acks:
                pipe.execute_command(*command)
            for token in tokens:
                group = (token, 30_000, BATCH, "direct")
                pipe.execute_command(*call("claim", [group], server="direct", nonce=token, bytes_max=1 << 20))
            replies = await pipe.execute()
            for reply in replies[: len(acks)]:
                done += sum(word == b"OK" for word, _ in scripts["ack"].read(reply).rows)
            acks = []
            for token, reply in zip(tokens, replies[-IN_FLIGHT:], strict=True):
                leases = [(job_id, token) for job_id, _, _ in scripts["claim"].read(reply).rows]
                if leases:
                    acks.append(call("ack", leases))
        return jobs / (time.perf_counter() - started)
    finally:
        await client.aclose()
