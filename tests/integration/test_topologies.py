"""Several servers on one cluster or one Sentinel service: what each of them does is there for the others at once."""

import pytest

from relay.v1 import admin_service_pb2 as admin_pb
from relay_server.engine.lua_script import load_scripts
from tests.integration.conftest import Start
from tests.support.redis_cluster import RedisCluster
from tests.support.relay import Relay, eventually, new_queue, spec
from tests.support.stores import Store

pytestmark = pytest.mark.topologies


async def test_queues_of_one_server_are_worked_off_through_another(relay: Relay, another: Start) -> None:
    """Eight queues, so all over the slots; the worker sleeps on the other server before there is anything."""
    other = await another()
    queues = [new_queue() for _ in range(8)]
    worker = await other.claimer(dict.fromkeys(queues, 1), max_in_flight=50)
    await eventually(lambda: all(q in other.app.dispatchers.running for q in queues))
    for queue in queues:
        await relay.enqueue(queue, *(spec() for _ in range(5)))
    held = await worker.take(40)
    assert sorted({one.queue for one in held}) == sorted(queues)
    await worker.ack(*held)
    for queue in queues:
        assert (await relay.stats(queue)).counters["acked"] == 5
    assert set(await relay.app.engine.names.all()) >= set(queues)


async def test_scripts_are_known_to_every_primary(relay: Relay, relay_redis: Store) -> None:
    await relay.enqueue(new_queue())
    async with relay_redis.raw_client() as raw:
        shas = [script.sha for script in load_scripts().values()]
        nodes = raw.nodes if isinstance(relay_redis, RedisCluster) else [raw]
        for node in nodes:
            assert await node.execute_command("SCRIPT", "EXISTS", *shas) == [1] * len(shas)


async def test_the_server_says_what_its_store_is_made_of(relay: Relay, relay_redis: Store) -> None:
    store = (await relay.admin.GetServerInfo(admin_pb.GetServerInfoRequest())).store
    cluster = isinstance(relay_redis, RedisCluster)
    kind = admin_pb.STORE_TOPOLOGY_CLUSTER if cluster else admin_pb.STORE_TOPOLOGY_SENTINEL
    assert (store.topology, store.primaries) == (kind, 3 if cluster else 1)
