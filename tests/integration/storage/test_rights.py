"""The ACL user of docs/redis.md: it can do all that Relay does, and each command it may use is used."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis.crc import key_slot

from relay_server.engine import Engine, Operations, keys
from relay_server.loops.renewer import Renewer
from relay_server.model import EVERY, ClaimGroup, Cursor, Extension, Lease, NackedJob
from relay_server.storage import StorageConfig, open_storage, rights
from relay_server.words import NackWord, State
from tests.support.engine import a_job, new_token
from tests.support.redis_cluster import start_cluster
from tests.support.redis_members import Member, free_ports
from tests.support.redis_sentinel import start_sentinel
from tests.support.relay import relay_server, spec
from tests.topology.moves import begin_move

DOCUMENT = Path(__file__).parents[3] / "docs" / "redis.md"
QUEUE = "rights"


# What replicas and Sentinels send, and the asking itself: redis-py tells its name to servers that can be told.
_OF_OTHERS = {"psync", "replconf", "publish", "subscribe", "client|setinfo", "acl|log", "auth"}


class Accounts:
    """Counts the commands that reach some servers. Each gets the user, with these rules."""

    def __init__(self, members: list[Member], rules: str) -> None:
        self.members = members
        for member in members:
            member.ask("ACL", "SETUSER", "relay", "on", ">s3cret", *rules.split())
            member.ask("CONFIG", "RESETSTAT")

    def used(self) -> set[str]:
        """A command that was refused is in the log of the ACL, which must be empty."""
        names: set[str] = set()
        for member in self.members:
            assert member.ask("ACL", "LOG") == []
            stats = member.ask("INFO", "commandstats").decode()
            names |= set(re.findall(r"cmdstat_([^:]+):calls=[1-9]", stats))
        return names - _OF_OTHERS - {"config|resetstat"}


async def tour(url: str) -> None:
    """Everything that servers, workers, producers and operators make Relay do."""
    async with relay_server(url) as relay:
        engine: Engine = relay.app.engine
        ops: Operations = relay.ops
        worker = await relay.claimer(QUEUE, max_in_flight=4)
        await relay.enqueue(QUEUE, *(spec() for _ in range(4)))
        held = await worker.take(4)
        await worker.ack(*held[:2])
        await worker.close()
        queue = QUEUE + "-engine"
        await engine.transitions.enqueue(queue, [a_job(key="k"), a_job(), a_job(), a_job()], request_id=b"r1")
        await engine.transitions.enqueue(queue, [a_job(key="k")], request_id=b"r2")
        token = new_token()
        claimed = await engine.transitions.claim(queue, [ClaimGroup(token, 30_000, 4, "w")])
        first, second, third, fourth = [Lease(job.id, token) for job in claimed.groups[0]]
        await engine.transitions.extend(queue, [Extension(first.id, token, 0.5, "half")])
        await engine.transitions.held(queue, [first])
        await engine.transitions.ack(queue, [first])
        for lease, kind in ((second, NackWord.RETRY), (third, NackWord.DEAD)):
            await engine.transitions.nack(
                queue, [NackedJob(lease.id, token, kind, 60_000, "ValueError", b"")]
            )
        await engine.transitions.abandon(queue, [fourth], since_ms=0)
        await ops.run_now(queue, second.id)
        await ops.get_job(queue, third.id)
        for state in (State.READY, State.DELAYED, State.INFLIGHT, State.DEAD):
            await ops.list_jobs(queue, state, cursor=None, limit=10)
            await ops.scan(queue, state, cursor=Cursor("1", third.id), examine=10, want=EVERY)
        await ops.group_dead(queue, cursor=None)
        await ops.states(queue, [third.id])
        await ops.requeue(queue, [third.id], died_until_ms=1 << 52)
        await ops.configure(queue, {"rate": 1000.0, "burst": 1000})
        await ops.pause(queue)
        await ops.resume(queue)
        await ops.stats(queue)
        await ops.audit(queue)
        engine.transitions._lost_claims[queue] = b"0" * 16
        await engine.transitions.claim(queue, [ClaimGroup(new_token(), 30_000, 1, "w")])
        for minute in (1, 2):  # the older one is one too many
            await engine.scripts.run("history", keys.queue_keys(queue), [minute, 1])
        await ops.history(queue)
        await engine.transitions.promote(queue)
        await engine.transitions.reap(queue)
        engine.scripts.clock = lambda key: "1000"  # a step back, after which the reaper goes over every lease
        await engine.transitions.reap(queue)
        engine.scripts.clock = lambda key: ""
        await ops.cancel(queue, [second.id])
        while await ops.purge(queue, limit=500):
            pass
        await ops.purge_dead(queue, [third.id], died_until_ms=1 << 52)
        await engine.names.enter_all([queue + "-3"])
        await engine.names.check_known(queue)
        await engine.names.scan(0, 10)
        await engine.names.used_since([queue], 0)
        await engine.names.unused(1, skip=0, limit=1)
        await engine.names.all()
        engine.names._noted_at.pop(queue, None)
        engine.names.touch(queue)
        await Renewer(engine.names, engine.operations).run_once()
        await engine.scripts.run("begin", keys.queue_keys(queue + "-3"), ["0", "rate", 5])
        now_ms = (await engine.names.recent()).now_ms
        assert await ops.forget_idle(queue + "-3", until_ms=now_ms)
        await engine.transitions.enqueue(queue + "-2", [a_job()])
        await ops.purge(queue + "-2", limit=1)
        assert await ops.forget(queue + "-2")
        await relay.app.storage.inspect()
        assert (await relay.app.storage.health()).ok
        stop = relay.app.wakeups.listen("rights-gone", lambda _: None)
        await asyncio.sleep(0.3)
        stop()
        await asyncio.sleep(0.3)


@pytest.fixture
def member(binary: Path, tmp_path: Path) -> Iterator[Member]:
    member = Member(binary, tmp_path / "redis", free_ports(1)[0], ())
    member.start()
    yield member
    member.kill()


async def test_one_server_needs_exactly_this(member: Member) -> None:
    accounts = Accounts([member], rights.acl_rules())
    await tour(f"redis://relay:s3cret@127.0.0.1:{member.port}")
    assert accounts.used() == set(rights.COMMANDS)


async def test_a_cluster_needs_two_more_and_one_to_wait(binary: Path) -> None:
    cluster = start_cluster(binary, replicas=1)
    try:
        begin_move(cluster, key_slot(keys.QUEUES))  # so that something is asked for elsewhere
        accounts = Accounts(cluster.primaries, rights.acl_rules(cluster=True, wait_replicas=True))
        for replica in cluster.replicas:
            replica.ask("ACL", "SETUSER", "relay", "on", ">s3cret", *rights.acl_rules(cluster=True).split())
        await tour(cluster.url.replace("://", "://relay:s3cret@") + "?wait_replicas=1")
        assert accounts.used() == {*rights.COMMANDS, *rights.OF_CLUSTERS, *rights.OF_WAIT_REPLICAS}
    finally:
        cluster.kill()


async def test_sentinels_have_a_user_of_their_own(binary: Path) -> None:
    sentinel = start_sentinel(binary)
    try:
        servers = Accounts(sentinel.servers, rights.acl_rules())
        for member in sentinel.sentinels:
            wanted = [f"+{command}" for command in rights.OF_SENTINELS]
            member.ask("ACL", "SETUSER", "watcher", "on", ">s3cret too", "-@all", *wanted)
        url = sentinel.url.replace("://", "://relay:s3cret@")
        await tour(f"{url}?sentinel_username=watcher&sentinel_password=s3cret%20too")
        assert servers.used() >= set(rights.COMMANDS)
        for member in sentinel.sentinels:
            assert member.ask("ACL", "LOG") == []
    finally:
        sentinel.kill()


async def test_a_database_must_be_selected(member: Member) -> None:
    accounts = Accounts([member], rights.acl_rules(database=True))
    config = StorageConfig(redis_url=f"redis://relay:s3cret@127.0.0.1:{member.port}/2")
    async with await open_storage(config) as storage:
        assert (await storage.health()).ok
    assert "select" in accounts.used()


def test_the_document_has_these_lines() -> None:
    text = " ".join(DOCUMENT.read_text().replace("\\\n", " ").split())
    assert rights.acl_rules() in text
    for extra in (rights.OF_CLUSTERS, rights.OF_WAIT_REPLICAS, rights.OF_DATABASES, rights.OF_SENTINELS):
        assert f"`{' '.join('+' + command for command in extra)}`" in text
