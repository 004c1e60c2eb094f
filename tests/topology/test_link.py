"""What the link to a cluster follows, what it never repeats, and what one node's trouble costs the others."""

import asyncio
import time
from contextlib import aclosing
from dataclasses import replace

import pytest
from redis import exceptions as redis_errors
from redis.crc import key_slot

from relay_conformance.proxy import proxying
from relay_server.engine import ScriptRunner, keys, make_engine
from relay_server.storage import StorageConfig, errors, open_storage
from relay_server.storage.cluster import Cluster
from relay_server.storage.connect import Address, Node, Nodes
from relay_server.storage.link import Link
from relay_server.storage.shard_listener import ShardListener
from relay_server.storage.store import make_router
from relay_server.storage.urls import read_url
from tests.support.engine import a_job, new_queue
from tests.support.redis_cluster import RedisCluster
from tests.support.relay import eventually, relay_server, spec
from tests.topology.moves import begin_move, finish_move, move_key_by_key

COUNT = "return redis.call('INCR', KEYS[1])"


async def linked(cluster: RedisCluster, *, command_timeout_s: float = 5.0) -> Link:
    config = StorageConfig(command_timeout_s=command_timeout_s)
    router = make_router(read_url(cluster.url), config)
    await router.refresh()
    return Link(router)


async def test_moved_is_followed_and_learned(cluster: RedisCluster) -> None:
    link = await linked(cluster)
    slot = key_slot(b"n")
    source = cluster.owner_of_slot(slot)
    target = next(member for member in cluster.primaries if member is not source)
    assert await link.execute("INCR", "n", key=b"n") == 1
    move_key_by_key(cluster, slot, target)
    assert await asyncio.gather(*(link.execute("INCR", "n", key=b"n") for _ in range(20))) == list(
        range(2, 22)
    )
    address = link.router.node(b"n").address
    assert address is not None
    assert address[1] == target.port
    await link.router.aclose()


async def test_asked_keys_are_asked_for_on_the_right_connection(cluster: RedisCluster) -> None:
    """ASKING holds for the next command of its connection; others on the way at the same time must not take it."""
    link = await linked(cluster)
    source, target = begin_move(cluster, key_slot(b"n"))
    replies = await asyncio.gather(*(link.execute("INCR", "n", key=b"n") for _ in range(200)))
    assert sorted(replies) == list(range(1, 201))
    assert source.ask("CLUSTER", "COUNTKEYSINSLOT", key_slot(b"n")) == 0
    assert target.ask("CLUSTER", "COUNTKEYSINSLOT", key_slot(b"n")) == 1
    await link.router.aclose()


async def test_a_queue_in_two_places_waits_and_nothing_is_written_twice(cluster: RedisCluster) -> None:
    """A slot half-way refuses a queue's scripts before they begin (TRYAGAIN); they run once when it has arrived."""
    link = await linked(cluster)
    engine, queue = make_engine(ScriptRunner(link), server_id="s"), new_queue()
    await engine.transitions.enqueue(queue, [a_job()])
    slot = key_slot(keys.queue_keys(queue)["ready"])
    source, target = begin_move(cluster, slot)
    waiting = asyncio.create_task(engine.transitions.enqueue(queue, [a_job(), a_job()]))
    elsewhere = await asyncio.wait_for(engine.transitions.enqueue(new_queue_off(slot), [a_job()]), 3)
    assert len(elsewhere) == 1
    done, _ = await asyncio.wait({waiting}, timeout=0.3)
    assert not done
    await asyncio.to_thread(finish_move, cluster, slot, source, target)
    assert len(await asyncio.wait_for(waiting, 3)) == 2
    assert (
        await link.execute("ZCARD", keys.queue_keys(queue)["ready"], key=keys.queue_keys(queue)["ready"]) == 3
    )
    await link.router.aclose()


def new_queue_off(slot: int) -> str:
    while True:
        queue = new_queue()
        if key_slot(keys.queue_keys(queue)["ready"]) != slot:
            return queue


async def test_a_slot_that_stays_half_way_is_an_error_that_says_so(
    cluster: RedisCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay_server.storage.link._REDIRECTED_MAX_S", 0.2)
    link = await linked(cluster)
    await link.execute("SET", "{n}a", "1", key=b"n")
    begin_move(cluster, key_slot(b"n"))
    with pytest.raises(redis_errors.TryAgainError):
        await link.execute("MGET", "{n}a", "{n}b", key=b"n")
    await link.router.aclose()


async def test_a_lost_reply_never_runs_a_script_twice(cluster: RedisCluster) -> None:
    member = cluster.primary_of(b"n")
    async with proxying(("127.0.0.1", member.port)) as proxy:
        router = Cluster(
            [("127.0.0.1", m.port) for m in cluster.primaries],
            open_node=lambda address: _behind(address, member.port, proxy.port),
        )
        await router.refresh()
        link = Link(router)
        loss = proxy.lose_reply(b"INCR")
        with pytest.raises(redis_errors.ConnectionError):
            await link.execute("EVAL", COUNT, 1, "n", key=b"n")
        assert loss.done.is_set()
        assert await link.execute("GET", "n", key=b"n") == b"1"
        await router.aclose()


def _behind(address: Address, port: int, proxy: int) -> Node:
    """The node at an address, of which one is reached through a proxy."""
    reached = (address[0], proxy if address[1] == port else address[1])
    nodes = Nodes(read_url(f"redis://{reached[0]}:{reached[1]}"), StorageConfig())
    return replace(nodes.single(), address=address)


async def test_a_frozen_node_holds_up_its_own_slots_only(cluster: RedisCluster) -> None:
    link = await linked(cluster, command_timeout_s=2.0)
    frozen = cluster.primary_of(b"n")
    others = [key for key in (b"%d" % i for i in range(50)) if cluster.primary_of(key) is not frozen]
    frozen.freeze()
    try:
        stuck = asyncio.create_task(link.execute("INCR", "n", key=b"n"))
        began = time.monotonic()
        await asyncio.gather(*(link.execute("INCR", key, key=key) for key in others))
        assert time.monotonic() - began < 1.5
        with pytest.raises(redis_errors.TimeoutError):
            await stuck
    finally:
        frozen.thaw()
    await link.router.aclose()


async def test_channels_are_heard_where_their_slot_is(cluster: RedisCluster) -> None:
    """Over all three primaries, and again after the slot of one has moved."""
    link = await linked(cluster)
    channels = [keys.queue_keys(new_queue())["wake"] for _ in range(12)]
    async with aclosing(ShardListener(link.router, silence_max_s=2)) as listener:
        heard: list[tuple[bytes, bytes]] = []

        async def listen_on() -> None:
            while True:
                message = await listener.get()
                if message is not None:
                    heard.append(message)

        listening = asyncio.create_task(listen_on())
        await listener.subscribe(*(channel.decode() for channel in channels))
        await eventually(lambda: sorted(heard) == sorted((channel, b"") for channel in channels))
        heard.clear()
        moved, slot = channels[0], key_slot(channels[0])
        source = cluster.owner_of_slot(slot)
        target = next(member for member in cluster.primaries if member is not source)
        await asyncio.to_thread(move_key_by_key, cluster, slot, target)
        await eventually(lambda: (moved, b"") in heard, what="the new subscription")
        for channel in channels:
            await link.execute("SPUBLISH", channel, b"hello", key=channel)
        await eventually(lambda: all((channel, b"hello") in heard for channel in channels))
        assert len([one for one in heard if one[1] == b"hello"]) == len(channels)
        listening.cancel()
        await asyncio.wait({listening})
    await link.router.aclose()


async def test_a_sleeping_worker_is_woken_after_its_queue_moved(cluster: RedisCluster) -> None:
    queue = new_queue()
    slot = key_slot(keys.queue_keys(queue)["wake"])
    async with relay_server(cluster.url) as relay:
        worker = await relay.claimer(queue)
        await relay.enqueue(queue, spec())
        await worker.ack(*await worker.take(1))
        source = cluster.owner_of_slot(slot)
        target = next(member for member in cluster.primaries if member is not source)
        await asyncio.to_thread(move_key_by_key, cluster, slot, target)
        channel = keys.queue_keys(queue)["wake"]
        await eventually(
            lambda: target.ask("PUBSUB", "SHARDNUMSUB", channel)[1] > 0,
            what="the subscription at the new node",
        )
        began = time.monotonic()
        await relay.enqueue(queue, spec())
        await worker.take(1, within=3)
        print(f"woken {time.monotonic() - began:.3f} s after the enqueue")
        assert time.monotonic() - began < 1.0


async def test_a_cluster_of_which_a_node_is_away_stays_in_service(cluster: RedisCluster) -> None:
    for member in cluster.primaries:
        member.ask("CONFIG", "SET", "cluster-require-full-coverage", "no")
    config = StorageConfig(redis_url=cluster.url, health_timeout_s=0.5)
    async with await open_storage(config) as storage:
        assert (await storage.health()).ok
        cluster.primaries[0].kill()
        assert (await storage.health()).ok
        for member in cluster.primaries[1:]:
            member.kill()
        assert not (await storage.health()).ok


async def test_the_url_must_say_what_is_there(cluster: RedisCluster) -> None:
    port = cluster.primaries[0].port
    with pytest.raises(errors.RedisModeUnsupported, match=r"redis\+cluster://"):
        await open_storage(StorageConfig(redis_url=f"redis://127.0.0.1:{port}"))
    with pytest.raises(errors.RedisModeUnsupported, match="no Sentinel"):
        await open_storage(StorageConfig(redis_url=f"redis+sentinel://127.0.0.1:{port}/jobs"))
    with pytest.raises(errors.RedisUnreachable):
        await open_storage(StorageConfig(redis_url="redis+cluster://127.0.0.1:1,127.0.0.1:2"))
