"""Servers and Redis that are killed, restarted or told to stop under load: nothing acknowledged is lost."""

import signal
from typing import Any

from tests.support.fleet import Fleet, alive, small_jobs
from tests.support.relay import eventually


async def check(fleet: Fleet) -> Any:
    """Everything acknowledged is done, and the store is sound. Returns what is left."""
    verdict, settled = await fleet.judge(within=30)
    assert verdict.ok, verdict.violations[:5]
    assert settled.findings == []
    assert verdict.counts["live"] == verdict.counts["dead"] == 0
    assert settled.stats.counters["acked"] >= verdict.counts["enqueued"] > 0
    for worker in fleet.workers:
        assert alive(worker.process), "a worker gave up"
    return settled


async def test_a_server_killed_under_load_and_restarted() -> None:
    async with Fleet.start(workers=2) as fleet:
        (server,) = fleet.servers
        async with fleet.producing() as producer:
            await fleet.until_acked(100)
            await server.kill()
            await server.start()
            await fleet.until_more_acked(100)
        assert producer.failures == []
        await check(fleet)


async def test_an_embedded_redis_killed_under_load_is_restarted_by_its_server() -> None:
    async with Fleet.start(workers=2) as fleet:
        (server,) = fleet.servers
        async with fleet.producing() as producer:
            await fleet.until_acked(100)
            before = await fleet.redis.find_pid()
            await fleet.redis.kill()
            await fleet.until_more_acked(100)
        assert await fleet.redis.find_pid() != before
        assert alive(server.process)
        assert len(server.logged("embedded_redis_restarted")) == 1
        assert producer.failures == []
        await check(fleet)


async def test_an_external_redis_killed_under_load_and_restarted() -> None:
    async with Fleet.start(workers=2, embedded=False) as fleet:
        async with fleet.producing() as producer:
            await fleet.until_acked(100)
            await fleet.redis.kill()
            await eventually(lambda: fleet.servers[0].logged("not_serving"), what="NOT_SERVING")
            await fleet.redis.start()
            await fleet.until_more_acked(100)
        assert producer.failures == []
        await check(fleet)


async def test_two_servers_restarted_in_turn_under_load() -> None:
    """A rolling restart: no call fails after the SDK's retries, and no lease runs out."""
    async with Fleet.start(servers=2, workers=2, embedded=False, lease="10s") as fleet:
        async with fleet.producing() as producer:
            await fleet.until_acked(100)
            for server in fleet.servers:
                assert await server.terminate() == 0
                await fleet.until_more_acked(50)
                await server.start()
                await fleet.until_more_acked(50)
        assert producer.failures == []
        settled = await check(fleet)
        assert settled.stats.counters.get("expired", 0) == 0
        assert settled.stats.counters.get("stale", 0) == 0


async def test_a_restarted_server_promotes_delayed_jobs_without_any_client() -> None:
    def delayed(n: int) -> dict[str, Any]:
        return {**small_jobs(n), "delay": "1s", "idempotency_key": None}

    async with Fleet.start(workers=0) as fleet:
        await fleet.producer(delayed).send(20)
        (server,) = fleet.servers
        assert (await fleet.stats()).delayed == 20
        server.process.send_signal(signal.SIGKILL)
        await server.start()

        async def promoted() -> bool:
            return (await fleet.stats()).ready == 20

        await eventually(promoted, within=10, what="20 promoted jobs")
        fleet.add_worker()
        await check(fleet)
