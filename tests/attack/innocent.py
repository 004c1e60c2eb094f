"""`python -m tests.attack.innocent PLACE`: a tenant that does nothing wrong, in a process of its own.

It enqueues one job 16 times a second, open loop: a call that is late does not hold the next one back, and its time
counts from when it was meant to begin. Each ended call is a line of JSON on standard output: milliseconds, code, job.
"""

import asyncio
import json
import sys
import time

import grpc

from relay.v1 import queue_service_pb2 as pb
from tests.attack.place import INNOCENT, Caller, Place
from tests.support.relay import new_id, spec

PER_S = 16
TIMEOUT_S = 20.0


async def _one(caller: Caller, meant: float) -> None:
    job = spec(id=new_id())
    request = pb.EnqueueRequest(queue=f"{INNOCENT}-orders", job=job)
    try:
        await caller.queue.Enqueue(request, metadata=caller.metadata, timeout=TIMEOUT_S)
        code = "OK"
    except grpc.aio.AioRpcError as error:
        code = error.code().name
    print(json.dumps([round((time.monotonic() - meant) * 1000, 2), code, job.id]), flush=True)


async def main() -> None:
    place = Place.of(sys.argv[1])
    async with place.caller(place.innocent) as caller:
        meant = time.monotonic()
        running: set[asyncio.Task[None]] = set()
        while True:
            task = asyncio.create_task(_one(caller, meant))
            running.add(task)
            task.add_done_callback(running.discard)
            meant += 1 / PER_S
            await asyncio.sleep(max(0.0, meant - time.monotonic()))


if __name__ == "__main__":
    asyncio.run(main())
