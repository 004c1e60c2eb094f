"""The workload `gateway`: what the HTTP gateway adds to a call, with the same callers and jobs by HTTP and by gRPC."""

import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from benchmarks.stack import Stack, running_stack
from relay.v1 import queue_service_pb2_grpc
from relay.v1.job_pb2 import JobSpec
from relay.v1.queue_service_pb2 import EnqueueRequest
from relay_client.ids import new_id

CALLERS = 16
PAYLOAD = {"to": "ada", "text": "x" * 80}

Call = Callable[[], Awaitable[None]]


def gateway_cost(jobs: int) -> dict[str, Any]:
    """Enqueue of one job a call: 16 callers, each on a connection of its own, by gRPC and by HTTP/JSON."""
    with running_stack() as stack:
        start = stack.cost()
        by_grpc = asyncio.run(_measure(jobs, lambda: _grpc_caller(stack)))
        middle = stack.cost()
        by_http = asyncio.run(_measure(jobs, lambda: _http_caller(stack)))
        end = stack.cost()
        for queue in ("by-grpc", "by-http"):
            stored = stack.redis.hlen(f"relay:{{{queue}}}:body")
            if stored != jobs:
                raise SystemExit(f"{queue}: {stored} of {jobs} jobs are stored")
        return {
            "jobs": jobs,
            **{f"grpc_{name}": value for name, value in by_grpc.items()},
            **{f"http_{name}": value for name, value in by_http.items()},
            "ratio": by_http["per_s"] / by_grpc["per_s"],
            "grpc_cost": (middle - start).per_job(jobs),
            "http_cost": (end - middle).per_job(jobs),
        }


async def _measure(jobs: int, connect: Callable[[], Awaitable[tuple[Call, Call]]]) -> dict[str, float]:
    """Calls a second, and milliseconds of a call at the median and the 99th percentile."""
    left, took = jobs, list[float]()

    async def caller(call: Call) -> None:
        nonlocal left
        while left > 0:
            left -= 1
            started = time.perf_counter()
            await call()
            took.append(time.perf_counter() - started)

    pairs = [await connect() for _ in range(CALLERS)]
    started = time.perf_counter()
    await asyncio.gather(*(caller(call) for call, _ in pairs))
    seconds = time.perf_counter() - started
    for _, close in pairs:
        await close()
    took.sort()
    p99 = took[int(len(took) * 0.99)]
    return {"per_s": jobs / seconds, "p50_ms": statistics.median(took) * 1000, "p99_ms": p99 * 1000}


async def _grpc_caller(stack: Stack) -> tuple[Call, Call]:
    options = (("grpc.use_local_subchannel_pool", 1),)
    channel = grpc.aio.insecure_channel(stack.target, options=options)
    stub = queue_service_pb2_grpc.QueueServiceStub(channel)
    await channel.channel_ready()

    async def call() -> None:
        job = JobSpec(id=str(new_id()), type="bench.noop", payload=json.dumps(PAYLOAD).encode())
        await stub.Enqueue(EnqueueRequest(queue="by-grpc", job=job))

    async def close() -> None:
        await channel.close()

    return call, close


async def _http_caller(stack: Stack) -> tuple[Call, Call]:
    """HTTP/1.1 on a kept connection, with the least that a client can do."""
    host, _, port = stack.http.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"POST /api/v1/queues/by-http/jobs HTTP/1.1\r\nHost: {stack.http}\r\nContent-Type: application/json\r\n"

    async def call() -> None:
        body = json.dumps({"job": {"id": str(new_id()), "type": "bench.noop", "payloadJson": PAYLOAD}})
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        answer = await reader.readuntil(b"\r\n\r\n")
        if not answer.startswith(b"HTTP/1.1 200"):
            raise SystemExit(answer.decode())
        length = answer.lower().split(b"content-length:")[1].split(b"\r\n")[0]
        await reader.readexactly(int(length))

    async def close() -> None:
        writer.close()
        await writer.wait_closed()

    return call, close
