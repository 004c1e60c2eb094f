"""What cannot be read is set aside and counted, and stops nothing: each kind of damage, and all that meets it."""

import asyncio
import struct
from collections.abc import Awaitable, Callable

import pytest

from relay_server import errors
from relay_server.engine import keys
from relay_server.model import Extension, Lease
from relay_server.words import CancelWord, EnqueueWord, LeaseWord, NackWord, State
from tests.support.engine import LEASE_MS, Lab, a_job, new_id, new_token

pytestmark = pytest.mark.damages

Damage = Callable[[Lab, bytes], Awaitable[None]]
INF, NAN = float("inf"), float("nan")


def record_becomes(change: Callable[[bytes], bytes]) -> Damage:
    async def damage(lab: Lab, job_id: bytes) -> None:
        raw = await lab.command("HGET", lab.key("state"), job_id)
        await lab.command("HSET", lab.key("state"), job_id, change(raw))

    return damage


def field_goes(name: str) -> Damage:
    async def damage(lab: Lab, job_id: bytes) -> None:
        await lab.command("HDEL", lab.key(name), job_id)

    return damage


def number(at: int, value: bytes) -> Damage:
    return record_becomes(lambda raw: raw[:at] + value + raw[at + len(value) :])


UNREADABLE: dict[str, Damage] = {
    "empty": record_becomes(lambda raw: b""),
    "cut": record_becomes(lambda raw: raw[:-1]),
    "cut in the middle": record_becomes(lambda raw: raw[:40] + raw[50:]),
    "longer": record_becomes(lambda raw: raw + b"\0"),
    "a number inserted": record_becomes(lambda raw: raw[:20] + b"\1\0\0\0" + raw[20:]),
    "of the version before": record_becomes(lambda raw: raw[:8] + raw[9:-4]),
    "of a later version": number(8, b"\2"),
    "not a number": number(0, struct.pack("<d", NAN)),
    "without end": number(0, struct.pack("<d", INF)),
    "missing": field_goes("state"),
}
each_damage = pytest.mark.parametrize("damage", UNREADABLE.values(), ids=UNREADABLE.keys())


async def in_each_state(lab: Lab) -> dict[str, list[bytes]]:
    """Two jobs in each index: the first is for damage, the second is to live on."""
    dead = [await lab.dead(), await lab.dead()]
    held = [(await lab.in_flight()).id for _ in range(2)]
    ready = await lab.enqueued(a_job(), a_job())
    delayed = await lab.enqueued(a_job(delay_ms=5), a_job(delay_ms=5))
    return {"ready": ready, "delayed": delayed, "inflight": held, "dead": dead}


async def findings_of(lab: Lab) -> dict[bytes, str]:
    """The findings of the audit, by job."""
    return {found.job_id: f"{found.invariant} {found.detail}" for found in await lab.findings(lab.queue)}


async def all_set_aside(lab: Lab, *ids: bytes) -> None:
    """They are counted, the audit names them, no index has them, and nothing else is wrong with the queue."""
    found = await findings_of(lab)
    assert set(found) == set(ids), found
    assert all(text.startswith("UNREADABLE set aside from ") for text in found.values()), found
    stats = await lab.ops.stats(lab.queue)
    assert (stats.unreadable, stats.counters["unreadable"]) == (len(ids), len(ids))
    for job_id in ids:
        assert await lab.where(job_id) == "gone"


@each_damage
async def test_the_queue_goes_on_and_every_reader_answers(lab: Lab, damage: Damage) -> None:
    """One bad record in each state, and one pass of everything that moves or reads jobs."""
    jobs = await in_each_state(lab)
    bad = {state: ids[0] for state, ids in jobs.items()}
    good = {state: ids[1] for state, ids in jobs.items()}
    for job_id in bad.values():
        await damage(lab, job_id)
    found = await findings_of(lab)
    if damage is not UNREADABLE["missing"]:  # of which only the numbers tell until something meets it
        assert all("I2 a record of" in found[job_id] for job_id in bad.values()), found
    assert (await lab.ops.stats(lab.queue)).ready == 2
    for state in State:
        page = await lab.ops.list_jobs(lab.queue, state, cursor=None, limit=9)
        assert [job.id for job in page.jobs] == [good[state.name.lower()]]
    lab.clock.advance(5)
    await lab.transitions.promote(lab.queue)
    assert set((await lab.claim(9)).ids) == {good["ready"], good["delayed"]}
    lab.clock.advance(LEASE_MS)
    await lab.transitions.reap(lab.queue)
    assert await lab.ops.requeue(lab.queue, list(jobs["dead"]), died_until_ms=1 << 52) == 1
    assert await lab.where(good["inflight"]) in {"ready", "delayed"}
    if damage is UNREADABLE["missing"]:  # nobody names an index of dead letters but their listing
        assert await lab.ops.purge_dead(lab.queue, [bad.pop("dead")], died_until_ms=1 << 52) == 1
    await all_set_aside(lab, *bad.values())
    assert (await lab.claim(9)).ids


@each_damage
async def test_who_names_a_lease_of_it_hears_that_it_is_gone(lab: Lab, damage: Damage) -> None:
    """Two leases in each call, one of a job that cannot be read: the other one is answered as ever."""
    token = new_token()
    await lab.enqueued(*(a_job() for _ in range(12)))
    leases = (await lab.claim(12, token=token)).leases
    bad, good = leases[::2], leases[1::2]
    for lease in bad:
        await damage(lab, lease.id)
    pairs = list(zip(bad, good, strict=True))
    assert await lab.ack(*pairs[0]) == [LeaseWord.GONE, LeaseWord.OK]
    nacked = [(await lab.nack(lease)).word for lease in pairs[1]]
    assert nacked == [LeaseWord.GONE, LeaseWord.OK]
    extended = await lab.transitions.extend(lab.queue, [Extension(*lease) for lease in pairs[2]])
    assert [answer.word for answer in extended] == [LeaseWord.GONE, LeaseWord.OK]
    assert (await lab.transitions.held(lab.queue, pairs[2]))[1] == [LeaseWord.GONE, LeaseWord.OK]
    assert await lab.transitions.hand_back(lab.queue, pairs[3]) == 1
    assert await lab.transitions.abandon(lab.queue, pairs[4], since_ms=lab.clock.now_ms) == 1
    words = await lab.ops.cancel(lab.queue, [lease.id for lease in pairs[5]])
    missing = damage is UNREADABLE["missing"]
    assert words == [CancelWord.GONE if missing else CancelWord.REMOVED, CancelWord.FLAGGED]
    lab.clock.advance(LEASE_MS)
    await lab.transitions.reap(lab.queue)
    await all_set_aside(lab, *(lease.id for lease in (bad if missing else bad[:5])))


@each_damage
async def test_a_claim_whose_reply_was_lost_is_taken_back(lab: Lab, damage: Damage) -> None:
    bad, good = await lab.enqueued(a_job(), a_job())
    nonce = b"n" * 16
    await lab.script("claim", lab.clock(), 1, "s", nonce, 1 << 20, new_token(), LEASE_MS, 5, "w")
    await damage(lab, bad)
    assert await lab.script("hand_back_claim", "s", nonce) == [b"OK", b"1"]
    assert await lab.where(good) == "ready"
    lab.clock.advance(LEASE_MS)
    await lab.transitions.reap(lab.queue)
    await all_set_aside(lab, bad)


@pytest.mark.parametrize("by", ["reap", "claim"])
async def test_an_outage_does_not_spare_it(lab: Lab, by: str) -> None:
    """The model believed so once: nothing in it says that it was held by a worker that may come back."""
    bad = (await lab.in_flight()).id
    good = (await lab.in_flight()).id
    lab.servers_away = True
    lab.clock.advance(LEASE_MS + 60_000)
    await UNREADABLE["empty"](lab, bad)
    if by == "claim":
        assert (await lab.claim()).ids == []
    else:
        await lab.transitions.reap(lab.queue)
    await all_set_aside(lab, bad)
    assert await lab.where(good) == "inflight"


@each_damage
async def test_run_now_sets_it_aside(lab: Lab, damage: Damage) -> None:
    (bad,) = await lab.enqueued(a_job(delay_ms=5))
    await damage(lab, bad)
    assert await lab.ops.run_now(lab.queue, bad) == "GONE"
    lab.clock.advance(5)
    await lab.transitions.promote(lab.queue)
    await all_set_aside(lab, bad)


async def test_what_was_set_aside_is_kept_whole_and_deleted_by_who_says_so(lab: Lab) -> None:
    first, second, third = await lab.enqueued(*(a_job(b"the body of it") for _ in range(3)))
    for job_id in (first, second, third):
        await UNREADABLE["cut"](lab, job_id)
    raw = await lab.command("HGET", lab.key("state"), first)
    assert (await lab.claim(9)).ids == []
    assert await lab.command("HGET", lab.key("state"), first) == raw
    assert await lab.command("HGET", lab.key("body"), first) == b"the body of it"
    # Its id stays known: a producer that repeats itself must not make a second job.
    answers = await lab.enqueue(a_job(job_id=first))
    assert answers[0].word == EnqueueWord.CREATED
    assert (await lab.claim(9)).ids == []
    assert await lab.ops.forget(lab.queue) is False
    assert await lab.ops.cancel(lab.queue, [first, first]) == [CancelWord.REMOVED, CancelWord.GONE]
    await all_still_aside(lab, second, third)
    assert await lab.ops.purge(lab.queue, limit=1) == 1
    assert await lab.ops.purge(lab.queue, limit=9) == 1
    assert await lab.findings(lab.queue) == []
    assert set(await lab.dump()) == {"count"}
    assert await lab.ops.forget(lab.queue) is True


async def all_still_aside(lab: Lab, *ids: bytes) -> None:
    assert set(await findings_of(lab)) == set(ids)


async def test_a_thousand_of_them_at_the_head_are_passed_in_a_few_claims(lab: Lab) -> None:
    for _ in range(3):
        await lab.enqueued(*(a_job() for _ in range(400)))
    ids = await lab.ids("ready")
    await lab.command("HSET", lab.key("state"), *(part for job_id in ids for part in (job_id, b"x")))
    (good,) = await lab.enqueued(a_job())
    claims = 1
    while (taken := await lab.claim(5)).ids != [good]:
        assert taken.answer.more
        claims += 1
    assert claims <= 4
    assert (await lab.ops.stats(lab.queue)).unreadable == 1200


async def test_an_id_that_is_none_is_set_aside(lab: Lab) -> None:
    (job_id,) = await lab.enqueued(a_job())
    for name in ("state", "body"):
        await lab.command("HSET", lab.key(name), b"short", await lab.command("HGET", lab.key(name), job_id))
    await lab.command("ZADD", lab.key("ready"), 5, b"short", 6, b"unknown")
    assert (await lab.claim(9)).ids == [job_id]
    await all_set_aside(lab, b"short", b"unknown")


# --- what else is stored


async def test_errors_that_cannot_be_read_do_not_keep_a_job_from_failing(lab: Lab) -> None:
    lease = await lab.in_flight()
    await lab.nack(lease, after_ms=0, error=b"first")
    frames = await lab.command("HGET", lab.key("error"), lease.id)
    for damaged, kept in ((b"x", 0), (frames + b"\0" * 5, 1), (frames[:-1], 0), (b"\xff" * 30, 0)):
        await lab.command("HSET", lab.key("error"), lease.id, damaged)
        stored = await lab.ops.get_job(lab.queue, lease.id)
        assert stored is not None
        assert len(stored.failures) == kept
        (job,) = (taken := await lab.claim()).jobs
        assert (await lab.nack(taken.lease, after_ms=0, error=b"next")).word == LeaseWord.OK
        stored = await lab.ops.get_job(lab.queue, job.id)
        assert stored is not None
        assert [failure.error for failure in stored.failures] == [b"next"]
    await lab.claim()
    await lab.command("HSET", lab.key("error"), lease.id, b"x")
    lab.clock.advance(LEASE_MS)
    assert (await lab.transitions.reap(lab.queue)).taken == 1


async def test_an_answer_to_a_nack_that_cannot_be_read_is_no_answer(lab: Lab) -> None:
    lease = await lab.in_flight()
    await lab.nack(lease)
    raw = await lab.command("HGET", lab.key("state"), lease.id)
    at = raw.index(lease.token) + 16
    for answer in (
        b"\0" * 9,
        b"\5" + bytes(8),
        b"\2" + struct.pack("<d", NAN),
        b"\2" + struct.pack("<d", -INF),
    ):
        await lab.command("HSET", lab.key("state"), lease.id, raw[:at] + answer + raw[at + 9 :])
        assert (await lab.nack(lease)).word == LeaseWord.LEASE_LOST


@pytest.mark.parametrize("value", ["", "x", "nan", "inf", "-inf", "1e999", "-1", "0x10", "9" * 30])
async def test_settings_and_totals_that_are_none_stand_for_the_default(lab: Lab, value: str) -> None:
    names = [
        "priority_step",
        "max_expirations",
        "max_jobs",
        "paused",
        "rate",
        "burst",
        "clock",
        "tokens",
        "tokens_at",
    ]
    await lab.command("HSET", lab.key("conf"), *(part for name in names for part in (name, value)))
    await lab.command("HSET", lab.key("conf"), "clock_scan", value, "nonsense", value)
    totals = ["enqueued", "claimed", "acked", "expired", "clock_steps", "stale", "retried", b"\xff"]
    await lab.command("HSET", lab.key("count"), *(part for name in totals for part in (name, value)))
    await lab.enqueued(a_job(priority=3), a_job())
    first, second = (await lab.claim(2)).leases
    assert await lab.ack(first, Lease(second.id, new_token())) == [LeaseWord.OK, LeaseWord.LEASE_LOST]
    lab.clock.advance(LEASE_MS)
    assert (await lab.transitions.reap(lab.queue)).taken == 1
    await lab.transitions.reap(lab.queue)
    counters = (await lab.ops.stats(lab.queue)).counters
    assert (
        (counters["enqueued"], counters["claimed"], counters["acked"]) == (2, 2, 1)
        if value != "-1"
        else (1, 1, 0)
    )
    assert await lab.findings(lab.queue) == []


@pytest.mark.parametrize(
    "line", ["", "1 2 3", "1 2 3 4 5 6 7 8", "a b c d e f g", "1 2 3 4 5 6 -7", "9" * 200]
)
async def test_a_minute_that_cannot_be_read_is_left_out_of_the_history(lab: Lab, line: str) -> None:
    await lab.enqueued(a_job())
    await lab.ops.record_history([lab.queue], 7)
    await lab.command(
        "HSET", lab.key("history"), "6", line, "noon", "1 2 3 4 5 6 7", "9" * 30, "1 2 3 4 5 6 7"
    )
    assert [minute for minute, _ in await lab.ops.history(lab.queue)] == [7]
    await lab.command(
        "HSET", lab.key("history"), *(part for n in range(1500) for part in (n, "0 0 0 0 0 0 0"))
    )
    await lab.ops.record_history([lab.queue], 5000)
    assert [minute for minute, _ in await lab.ops.history(lab.queue)] == [1499, 5000], (
        "the newest of what is too old is what the next row counts from"
    )


@pytest.mark.parametrize("value", ["", "x", "x" * 24, "x" * 30, "\0" * 100, "n" * 16 + "\xff" * 50])
async def test_last_claims_that_cannot_be_read_are_forgotten(lab: Lab, value: str) -> None:
    await lab.enqueued(a_job())
    await lab.command("HSET", lab.key("claims"), "server-1", value, "server-2", value)
    await lab.command("PEXPIRE", lab.key("claims"), 9_000_000)
    assert (await lab.script("hand_back_claim", "server-2", b"n" * 16))[0] in (b"OK", b"NONE")
    await lab.transitions.reap(lab.queue)
    assert len((await lab.claim()).ids) == 1


@pytest.mark.parametrize("value", [b"", b"x", b"\x81\xa1n\xcb", b"\x93\x01\x02\x03", b"\xc0" * 9, b"x" * 200])
async def test_a_request_whose_answer_cannot_be_read_is_known_by_its_jobs(lab: Lab, value: bytes) -> None:
    job, other = a_job(), a_job()
    await lab.enqueue(job, request_id=b"r" * 16)
    await lab.command("SET", keys.seen_key(lab.queue, b"r" * 16), value, "PX", 60_000)
    again, beside = await asyncio.gather(
        lab.enqueue(job, request_id=b"r" * 16), lab.enqueue(other, request_id=b"o" * 16)
    )
    assert [answer.word for answer in again + beside] == [EnqueueWord.CREATED] * 2
    assert sorted(await lab.ids("ready")) == sorted([job.id, other.id])


@pytest.mark.parametrize("value", [b"", b"x", b"x" * 31, b"x" * 33])
async def test_a_key_whose_holder_cannot_be_read_is_free(lab: Lab, value: bytes) -> None:
    await lab.enqueued(a_job(key="k"))
    await lab.command("SET", keys.idempotency_key(lab.queue, "k"), value, "PX", 60_000)
    (job_id,) = await lab.enqueued(a_job(key="k"))
    (answer,) = await lab.enqueue(a_job(key="k"))
    assert (answer.word, answer.job_id) == (EnqueueWord.DUPLICATE, job_id)


@pytest.mark.parametrize("score", ["inf", "-inf", "1e300", "-1e300"])
@pytest.mark.parametrize("index", ["ready", "delayed", "inflight", "dead"])
async def test_a_place_that_is_none_stops_nobody_else(lab: Lab, index: str, score: str) -> None:
    jobs = await in_each_state(lab)
    await lab.command("ZADD", lab.key(index), score, jobs[index][0])
    for state in State:
        await lab.ops.list_jobs(lab.queue, state, cursor=None, limit=1)
    await lab.ops.stats(lab.queue)
    await lab.ops.audit(lab.queue)
    await lab.ops.get_job(lab.queue, jobs[index][0])
    lab.clock.advance(5)
    assert (await lab.transitions.promote(lab.queue)).next_at_ms == 0
    taken = await lab.claim(9)
    assert {jobs["ready"][1], jobs["delayed"][1]} <= set(taken.ids)
    lab.clock.advance(LEASE_MS)
    await lab.transitions.reap(lab.queue)
    assert await lab.where(jobs["inflight"][1]) in {"ready", "delayed"}
    assert await lab.ops.requeue(lab.queue, jobs["dead"], died_until_ms=1 << 52) >= 1
    assert (await lab.nack((await lab.claim(lease_ms=5)).leases[0], NackWord.DEAD)).word == LeaseWord.OK


async def test_the_place_for_what_cannot_be_read_may_itself_be_damaged(lab: Lab) -> None:
    """Nothing is lost, and the queue goes on once the key is out of the way."""
    bad, good = await lab.enqueued(a_job(), a_job())
    await UNREADABLE["cut"](lab, bad)
    await lab.command("SET", lab.key("unreadable"), "x")
    before = await lab.command("ZRANGE", lab.key("ready"), 0, -1)
    with pytest.raises(errors.WrongState, match=r"unreadable of this queue is a string.*RENAME"):
        await lab.claim(2)
    assert await lab.command("ZRANGE", lab.key("ready"), 0, -1) == before
    await lab.command("DEL", lab.key("unreadable"))
    assert (await lab.claim(2)).ids == [good]
    assert new_id() not in await findings_of(lab)


async def test_an_audit_reads_a_note_of_what_was_set_aside_that_somebody_wrote_over(lab: Lab) -> None:
    job_id = (await lab.enqueued(a_job()))[0]
    await record_becomes(lambda raw: b"")(lab, job_id)
    await lab.claim()
    await lab.command("HSET", lab.key("unreadable"), job_id, b"\xff\xfe")
    assert job_id in {one.job_id for one in await lab.findings(lab.queue)}
