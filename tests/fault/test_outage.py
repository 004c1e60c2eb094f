"""A server that is killed takes no attempt away from the jobs whose leases end while it is down (I7)."""

import pytest
from redis.asyncio import Redis

from relay.v1 import admin_service_pb2, job_pb2
from relay.v1 import queue_service_pb2 as pb
from relay_server.engine import keys
from tests.support.redis_binaries import valkey9
from tests.support.redis_server import running_server
from tests.support.relay import Relay, connected, eventually, new_queue, server_program, spec

LEASE_S = 12.0
AWAY_MS = 10_000


async def _over(client: Redis, queue: str) -> bool:
    """The lease has ended, and nobody has looked for as long as makes an outage."""
    seconds, micros = await client.time()
    now = seconds * 1000 + micros // 1000
    named = keys.queue_keys(queue)
    deadline = float((await client.zrange(named["inflight"], 0, 0, withscores=True))[0][1])
    seen = float(await client.hget(named["conf"].decode(), "clock") or 0)
    return now > deadline and now - seen > AWAY_MS


async def _counters(relay: Relay, queue: str) -> admin_service_pb2.QueueCounters:
    (stats,) = (await relay.admin.Stats(admin_service_pb2.StatsRequest(queue=queue))).queues
    return stats.counters


@pytest.mark.parametrize("worker_comes_back", [False, True])
async def test_the_only_attempt_survives_a_server_that_was_killed(worker_comes_back: bool) -> None:
    """Without its worker the job runs again and finishes. A worker that still holds it finishes what it began."""
    queue = new_queue()
    with running_server(valkey9()) as store:
        client = store.client()
        options = ("--redis-url", store.url)
        async with server_program(*options) as first, connected(first.address) as relay:
            once = spec(retry=job_pb2.RetryPolicy(max_attempts=1))
            (job_id,) = await relay.enqueue(queue, once)
            claimer = await relay.claimer(queue, lease=LEASE_S)
            (held,) = await claimer.take(1)
            first.kill()
            await first.exit_code()
        await eventually(lambda: _over(client, queue), within=40, what="the end of the lease")
        async with server_program(*options) as second, connected(second.address) as relay:
            worker = await relay.claimer(queue, lease=30)
            if not worker_comes_back:
                (held,) = await worker.take(1, within=30)
                assert (held.id, held.job.attempt, held.job.max_attempts) == (job_id, 1, 1)
            groups = [pb.LeaseGroup(queue=queue, lease_token=held.token, job_ids=[job_id])]
            reply = await relay.queue.Ack(pb.AckRequest(leases=groups))
            assert list(reply.outcomes) == [pb.LEASE_OUTCOME_OK]
            counters = await _counters(relay, queue)
            assert (counters.expired, counters.dead, counters.acked) == (0, 0, 1)
            assert counters.spared == (0 if worker_comes_back else 1)
        await client.aclose()
