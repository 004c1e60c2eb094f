"""I3: a script that fails, for whatever reason, has changed nothing; and what makes room works without room."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis import exceptions as redis_errors

from relay_server import errors
from relay_server.engine import keys, record
from relay_server.engine.lua_script import Arg, load_scripts
from relay_server.model import Extension, Lease
from relay_server.words import CancelWord, EnqueueWord, LeaseWord, NackWord
from tests.support.engine import LEASE_MS, START_MS, Lab, a_job, new_token
from tests.support.redis_server import running_server

SCRIPTS = load_scripts()
# Those that write to a queue; the scripts of the names and of the sessions have keys of their own.
WRITING = sorted(
    name
    for name, script in SCRIPTS.items()
    if "flags=no-writes" not in script.source
    and not set(script.keys) & {*keys.NAMES_KEYS, *keys.SESSION_KEYS}
)


class Scene:
    """A queue with something in every state, and for each script a call that has work to do on it."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.nonce = os.urandom(16)
        self.token = new_token()
        self.dead = b""
        self.held: list[Lease] = []
        self.delayed = b""

    async def make(self) -> "Scene":
        lab = self.lab
        self.dead = await lab.dead()
        await lab.in_flight(lease_ms=1)
        retried = await lab.in_flight()
        await lab.nack(retried, after_ms=0)
        await lab.enqueued(a_job(), a_job())
        await lab.script(
            "claim", lab.clock(), 1, "server-1", self.nonce, 1 << 20, self.token, LEASE_MS, 2, "w"
        )
        self.held = [
            Lease(job_id, self.token)
            for job_id in await lab.ids("inflight")
            if (await lab.record(job_id)).token == self.token
        ]
        assert len(self.held) == 2
        self.delayed, _, _ = await lab.enqueued(
            a_job(delay_ms=5), a_job(key="k"), a_job(expires_ms=START_MS + 1)
        )
        await lab.ops.configure(lab.queue, {"rate": 100.0, "burst": 10})
        await lab.ops.record_history([lab.queue], 1)
        await lab.transitions.reap(lab.queue, limit=0)  # it has seen the clock
        lab.clock.advance(10)
        return self

    def call(self, name: str) -> tuple[list[Arg], list[bytes]]:
        """ARGV and the extra KEYS."""
        now, (first, second) = self.lab.clock(), self.held
        job = a_job(key="new")
        placing = record.pack_key(2, 1000, job.content_hash)
        queue = self.lab.queue
        calls: dict[str, Sequence[Arg]] = {
            "abandon": [now, 1, START_MS + 5, *first, *second],
            "ack": [now, *first, *second],
            "begin": ["1", "max_jobs", 5],
            "cancel": [first.id, self.delayed, self.dead],
            "claim": [now, 1, "server-1", os.urandom(16), 1 << 20, new_token(), LEASE_MS, 5, "w"],
            "configure": ["rate", 5, "burst", 3],
            "enqueue": [now, 60_000, b"\x01\x00\x01", job.id, job.plan + placing, job.tail, job.body],
            "extend": [now, 60_000, *first, 0.5, "note", *second, "", ""],
            "forget": [],
            "forget_idle": [],
            "history": [5000, 1],
            "nack": [now, 1, *first, "RETRY", "", "E", "e", *second, "DEAD", "", "E", "e"],
            "pause": [],
            "promote": [now, 10],
            "purge": [10],
            "purge_dead": [now, self.dead],
            "reap": [str(int(now) - 60_000), 1, 10],
            "hand_back": [*first, *second],
            "requeue": [now, now, self.dead],
            "resume": [],
            "set_aside": [*first, *second],
            "run_now": [now, self.delayed],
            "hand_back_claim": ["server-1", self.nonce],
        }
        extra = [keys.seen_key(queue, b"r"), keys.idempotency_key(queue, "new")] if name == "enqueue" else []
        return list(calls[name]), extra

    async def run(self, name: str, args: Sequence[Arg] | None = None) -> list[bytes]:
        usual, extra = self.call(name)
        return await self.lab.script(name, *(usual if args is None else args), extra_keys=extra)


@pytest.mark.parametrize("name", WRITING)
async def test_the_scene_gives_every_script_something_to_write(lab: Lab, name: str) -> None:
    """Otherwise the tests below would prove nothing."""
    scene = await Scene(lab).make()
    if name == "resume":
        await lab.ops.pause(lab.queue)
    if name in {"forget", "forget_idle"}:
        await lab.command("DEL", *(lab.key(index) for index in ("ready", "delayed", "inflight", "dead")))
    if name == "forget_idle":
        await lab.command("DEL", lab.key("conf"))
    before = await lab.dump()
    await scene.run(name)
    assert await lab.dump() != before


@pytest.mark.damages
@pytest.mark.parametrize("name", WRITING)
async def test_i3_a_key_of_a_wrong_type_is_an_error_that_changes_nothing(lab: Lab, name: str) -> None:
    scene = await Scene(lab).make()
    kept = f"kept{{{lab.queue}}}"  # in the slot of the queue
    for key in SCRIPTS[name].keys:
        if f'RELAYTYPE {key} is a " .. t)' not in SCRIPTS[name].source:
            continue  # a channel, or a key that is checked where it is used
        await lab.command("COPY", lab.key(key), kept, "REPLACE")
        await lab.command("SET", lab.key(key), "not a " + keys.QUEUE_KEYS[key])
        before = await lab.dump()
        with pytest.raises(errors.WrongState, match=f"{key} of this queue is a string"):
            await scene.run(name)
        assert await lab.dump() == before, key
        await lab.command("DEL", lab.key(key))
        if await lab.command("EXISTS", kept):
            await lab.command("RENAME", kept, lab.key(key))


@asynccontextmanager
async def no_memory(lab: Lab) -> AsyncIterator[None]:
    await lab.command("CONFIG", "SET", "maxmemory", "1")
    try:
        yield
    finally:
        await lab.command("CONFIG", "SET", "maxmemory", "0")


async def test_i3_without_memory_an_enqueue_is_refused_and_writes_nothing(lab: Lab) -> None:
    await Scene(lab).make()
    before = await lab.dump()
    async with no_memory(lab):
        with pytest.raises(errors.StoreOutOfMemory):
            await lab.enqueue(a_job(key="other"), a_job(delay_ms=5), request_id=b"r")
    assert await lab.dump() == before
    answers = await lab.enqueue(a_job(key="other"), request_id=b"r")
    assert [answer.word for answer in answers] == [EnqueueWord.CREATED]


async def test_i16_a_full_redis_can_drain(lab: Lab) -> None:
    await lab.enqueued(*(a_job() for _ in range(12)), *(a_job(delay_ms=100) for _ in range(3)))
    async with no_memory(lab):
        leases = (await lab.claim(8)).leases
        assert len(leases) == 8
        assert (await lab.transitions.extend(lab.queue, [Extension(*leases[0])]))[0].word == LeaseWord.OK
        assert await lab.ack(leases[0]) == [LeaseWord.OK]
        assert (await lab.nack(leases[1], error=b"e" * 1000)).word == LeaseWord.OK
        assert (await lab.nack(leases[2], NackWord.DEAD)).word == LeaseWord.OK
        assert await lab.transitions.hand_back(lab.queue, [leases[3]]) == 1
        assert await lab.ops.cancel(lab.queue, [leases[4].id]) == [CancelWord.FLAGGED]
        assert await lab.transitions.abandon(lab.queue, [leases[5]], since_ms=lab.clock.now_ms) == 1
        assert (await lab.transitions.held(lab.queue, [leases[6]]))[1] == [LeaseWord.OK]
        lab.clock.advance(LEASE_MS)
        assert (await lab.transitions.reap(lab.queue)).taken == 3
        assert (await lab.transitions.promote(lab.queue)).taken >= 3
        assert await lab.ops.requeue(lab.queue, [leases[2].id], died_until_ms=1 << 52) == 1
        assert await lab.broken(lab.queue) == []
        assert await lab.ops.purge(lab.queue, limit=500) > 5


@pytest.mark.parametrize("name", sorted(set(SCRIPTS) - {"enqueue", "enter", "enter_owned", "begin"}))
def test_every_script_but_those_of_new_jobs_and_queues_runs_without_memory(name: str) -> None:
    assert "allow-oom" in SCRIPTS[name].source.splitlines()[0]


@pytest.mark.one_server
@pytest.mark.parametrize("name", ["enqueue", "claim", "ack"])
async def test_i3_a_replica_writes_nothing_and_says_unavailable(lab: Lab, name: str) -> None:
    scene = await Scene(lab).make()
    before = await lab.dump()
    # Nobody answers there; until it is told otherwise it goes on serving what it has.
    await lab.command("CONFIG", "SET", "replica-serve-stale-data", "yes")
    await lab.command("REPLICAOF", "127.0.0.1", "1")
    try:
        with pytest.raises(errors.StoreUnavailable):
            await scene.run(name)
        assert await lab.dump() == before
    finally:
        await lab.command("REPLICAOF", "NO", "ONE")
    await scene.run(name)


async def test_i3_a_server_that_cannot_save_writes_nothing(redis_binary: Path) -> None:
    with running_server(redis_binary) as server:
        lab = Lab(server)
        try:
            await lab.engine.scripts.load()
            scene = await Scene(lab).make()
            before = await lab.dump()
            await lab.command("CONFIG", "SET", "save", "3600 1")
            (server.folder / "dump.rdb").mkdir()
            await lab.command("BGSAVE")
            async with asyncio.timeout(20):
                while b"rdb_last_bgsave_status:err" not in await lab.command("INFO", "persistence"):  # noqa: ASYNC110 - polled
                    await asyncio.sleep(0.01)
            with pytest.raises(errors.StoreUnavailable):
                await scene.run("enqueue")
            assert await lab.dump() == before
        finally:
            await lab.aclose()


async def test_a_flushed_script_cache_is_healed(lab: Lab) -> None:
    lease = await lab.in_flight()
    await lab.command("SCRIPT", "FLUSH")
    assert await lab.ack(lease) == [LeaseWord.OK]
    await lab.command("SCRIPT", "FLUSH")
    await lab.enqueued(a_job())
    assert (await lab.counters())["enqueued"] == 2
    assert (await lab.claim()).jobs[0].attempt == 1


NONSENSE = [
    "",
    "-",
    "x" * 300,
    "abc",
    "1e999",
    "-1e999",
    "nan",
    "0x",
    "1 2",
    "99999999999999999999",
    "-5",
    "1.5",
]


@pytest.mark.parametrize("name", WRITING)
async def test_i3_arguments_that_make_no_sense_never_leave_half_a_change(lab: Lab, name: str) -> None:
    """Each argument in turn becomes nonsense: either an error and nothing changed, or a change that is whole."""
    scene = await Scene(lab).make()
    usual, _ = scene.call(name)
    snapshot = await _save(lab)
    # What comes after a new job's id is packed by record.py, and no script reads it twice.
    positions = range(4 if name == "enqueue" else len(usual))
    before = await lab.dump()
    for position in positions:
        for nonsense in NONSENSE:
            args = [*usual[:position], nonsense, *usual[position + 1 :]]
            try:
                await scene.run(name, args)
            except redis_errors.ResponseError:
                assert await lab.dump() == before, (position, nonsense)
            else:
                assert await lab.broken(lab.queue) == [], (position, nonsense)
                await _restore(lab, snapshot)


@pytest.mark.parametrize("name", WRITING)
async def test_i3_missing_arguments_never_leave_half_a_change(lab: Lab, name: str) -> None:
    scene = await Scene(lab).make()
    usual, _ = scene.call(name)
    snapshot = await _save(lab)
    for length in range(len(usual)):
        before = await lab.dump()
        try:
            await scene.run(name, usual[:length])
        except redis_errors.ResponseError:
            assert await lab.dump() == before, length
        else:
            assert await lab.broken(lab.queue) == [], length
        await _restore(lab, snapshot)


@pytest.mark.parametrize(
    "name", ["ack", "nack", "extend", "hand_back", "cancel", "requeue", "purge_dead", "abandon"]
)
async def test_i3_far_more_ids_than_a_batch_is_one_error_or_one_answer(lab: Lab, name: str) -> None:
    scene = await Scene(lab).make()
    usual, _ = scene.call(name)
    script = SCRIPTS[name]
    head = len(script.header.args)
    per_job = len(script.header.each)
    for jobs in (500, 9000):
        before = await lab.dump()
        args = usual[:head] + (usual[head : head + per_job] * jobs)
        try:
            await scene.run(name, args)
        except redis_errors.ResponseError:
            assert jobs > 500
            assert await lab.dump() == before
        assert await lab.broken(lab.queue) == []


async def _save(lab: Lab) -> dict[bytes, bytes]:
    stored: dict[bytes, bytes] = {}
    for name in [*keys.QUEUE_KEYS, "key:k", "seen:r"]:
        key = f"relay:{{{lab.queue}}}:{name}".encode()
        raw = await lab.command("DUMP", key)
        if raw is not None:
            stored[key] = raw
    return stored


async def _restore(lab: Lab, stored: dict[bytes, bytes]) -> None:
    await lab.command("FLUSHALL")
    for key, raw in stored.items():
        ttl = 3_600_000 if b":claims" in key or b":key:" in key else 0
        await lab.command("RESTORE", key, ttl, raw)


async def test_i2_texts_of_any_length_leave_a_record_that_can_be_read(lab: Lab) -> None:
    long = "x" * 300
    await lab.enqueued(a_job(job_type="t"))
    taken = await lab.claim(worker=long)
    await lab.transitions.extend(lab.queue, [Extension(*taken.lease, 0.5, long)])
    await lab.nack(taken.lease, error_type=long, after_ms=0)
    record = await lab.record(taken.lease.id)
    assert (record.worker_id, record.note, record.error_type) == (long[:255],) * 3
    assert (record.type, record.token) == ("t", b"")
