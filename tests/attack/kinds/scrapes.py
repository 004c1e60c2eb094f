"""`/metrics` asked for all the time: by callers without a token, and by one that may read it, at many queues."""

import asyncio
import contextlib
import time

from relay.v1 import queue_service_pb2 as pb
from tests.attack.over_http import answer, connect, get, head
from tests.attack.place import ATTACKER, Place
from tests.attack.stage import stage
from tests.support.figures import MIB, Figure
from tests.support.relay import new_id, spec
from tests.support.waiting import eventually

CALLERS = 4


async def scrape(place: Place, token: str, seconds: float, bodies: set[bytes]) -> int:
    """As often as the server answers, on one connection; returns how often. `bodies` gets what differed."""
    ends, asked = time.monotonic() + seconds, 0
    reader, writer = await connect(place)
    try:
        while time.monotonic() < ends:
            writer.write(head("GET", "/metrics", token=token))
            code, _, body = await answer(reader)
            asked += 1
            if code == 200:
                bodies.add(body)
    finally:
        writer.transport.abort()
    return asked


async def press(place: Place) -> None:
    async def caller(token: str) -> None:
        while True:
            with contextlib.suppress(OSError, EOFError):
                await scrape(place, token, 60, set())
            await asyncio.sleep(0.05)

    await asyncio.gather(*(caller(token) for token in ("", place.viewer) for _ in range(CALLERS // 2)))


async def queues_made(place: Place, queues: int) -> None:
    """So many queues whose job was claimed and acknowledged: each has all that a queue can show."""
    async with place.caller(place.producer) as producer, place.caller(place.worker) as worker:

        async def one(number: int) -> None:
            queue = f"{ATTACKER}-{number}"
            await producer.queue.Enqueue(
                pb.EnqueueRequest(queue=queue, job=spec(id=new_id())), metadata=producer.metadata
            )
            request = pb.ClaimRequest(queues=[pb.QueueWeight(queue=queue)], worker_id="w", max_in_flight=1)
            call = worker.queue.Claim(request, metadata=worker.metadata)
            async for frame in call:
                if frame.HasField("jobs"):
                    group = pb.LeaseGroup(
                        queue=queue,
                        lease_token=frame.jobs.lease_token,
                        job_ids=[job.job.id for job in frame.jobs.jobs],
                    )
                    await worker.queue.Ack(pb.AckRequest(leases=[group]), metadata=worker.metadata)
                    break
            call.cancel()

        for start in range(0, queues, 20):
            await asyncio.gather(*(one(number) for number in range(start, min(queues, start + 20))))


async def measure(*, whole: bool) -> list[Figure]:
    queues, seconds = (1000, 30.0) if whole else (60, 2.0)
    async with stage() as on:
        monitor = on.tokens.add("prometheus", viewer="*")
        await queues_made(on.place, queues)

        async def sampled() -> bool:
            code, _, body = await get(on.place, "/metrics", token=monitor)
            return code == 200 and body.count(b"relay_jobs_acked_total{") > 50

        await eventually(sampled, within=30, what="a sample of the queues")
        before = on.rss_mib()
        code, _, _ = await get(on.place, "/metrics")
        theirs, _, _ = await get(on.place, "/metrics", token=on.place.viewer)
        bodies: set[bytes] = set()
        began = time.monotonic()
        async with on.innocent() as felt:
            asked = sum(
                await asyncio.gather(
                    *(scrape(on.place, monitor, seconds, bodies) for _ in range(CALLERS)),
                    *(scrape(on.place, "", seconds, set()) for _ in range(CALLERS)),
                )
            )
        took_s = time.monotonic() - began
        size = max(len(body) for body in bodies)
        print(f"    {asked} scrapes, {len(bodies)} renderings of {size / MIB:.2f} MiB", flush=True)
        return [
            Figure(name="served without a token", value=code == 200, most=0, unit="times"),
            Figure(name="served to a viewer of some queues", value=theirs == 200, most=0, unit="times"),
            Figure(name="renderings", value=len(bodies), most=took_s + 2, unit="times"),
            Figure(name=f"size at {queues} queues", value=size / MIB, most=1, unit="MiB"),
            Figure(name="memory grown", value=on.rss_mib() - before, most=40, unit="MiB"),
            *felt.figures(f"{2 * CALLERS} scrapers"),
        ]
