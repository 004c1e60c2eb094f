"""One script for many queues does what as many scripts would, and a queue that is damaged spoils no other's turn."""

import pytest
from redis import exceptions as redis_errors

from relay_server import errors
from relay_server.engine import keys
from relay_server.engine.lua_script import load_scripts
from relay_server.engine.scripts import MANY_QUEUES
from relay_server.engine.snapshots import Snapshots
from relay_server.loops import sweeps
from relay_server.model import QueueSnapshot, Swept
from tests.support.engine import LEASE_MS, Lab, a_job, new_queue
from tests.support.seams import forget_looks

MANY = sorted(name for name, script in load_scripts().items() if script.many is not None)


def _sent(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """The commands that the engine sends from now on."""
    sent: list[tuple[object, ...]] = []
    execute = lab.link.execute

    async def noted(*words: bytes | str | float, key: bytes) -> object:
        sent.append(words)
        return await execute(*words, key=key)

    monkeypatch.setattr(lab.link, "execute", noted)
    return sent


async def _queues(lab: Lab, count: int) -> list[str]:
    """One with a lease that is over, one with a job that is due, the others idle."""
    queues = [lab.queue, *(new_queue() for _ in range(count - 1))]
    await lab.names.enter_all(queues)
    await lab.in_flight()
    await lab.transitions.enqueue(queues[1], [a_job(delay_ms=LEASE_MS)])
    lab.clock.advance(LEASE_MS)
    return queues


@pytest.mark.one_server
async def test_many_queues_are_looked_at_by_one_script(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    queues = await _queues(lab, MANY_QUEUES)
    sent = _sent(lab, monkeypatch)
    reaped, promoted = await lab.transitions.reap_many(queues), await lab.transitions.promote_many(queues)
    stats = await lab.ops.stats_many(queues)
    assert await lab.ops.record_history(queues, 7) == [True] * MANY_QUEUES
    assert len(sent) == 4
    assert await lab.ops.record_history(queues, 7) == [False] * MANY_QUEUES
    assert [one.taken for one in reaped if isinstance(one, Swept)] == [1] + [0] * (MANY_QUEUES - 1)
    assert [one.taken for one in promoted if isinstance(one, Swept)][1:] == [1] + [0] * (MANY_QUEUES - 2)
    assert stats == [await lab.ops.stats(queue) for queue in queues]


@pytest.mark.one_server
async def test_the_loops_ask_for_many_idle_queues_at_once(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    queues = await _queues(lab, 3 * MANY_QUEUES)
    both = sweeps.promoter(lab.transitions, lab.names), sweeps.reaper(lab.transitions, lab.names)
    for sweep in both:
        assert (await sweep.run_once()).taken == 1
    for sweep in both:
        forget_looks(sweep)
    sent = _sent(lab, monkeypatch)
    for sweep in both:
        assert (await sweep.run_once()).queues == len(queues)
    scripts = [words[1] for words in sent if words[0] == "EVALSHA"]
    found = {name: load_scripts()[name].many for name in ("reap", "promote")}
    assert [scripts.count(many.sha) for many in found.values() if many] == [3, 3]


async def test_a_look_leaves_the_scan_after_a_step_of_the_clock_to_the_queue_itself(lab: Lab) -> None:
    """Some hundred leases of each of 32 queues would be far over 5 ms."""
    lease = await lab.in_flight(lease_ms=3_600_000)
    await lab.transitions.reap(lab.queue)
    lab.clock.advance(-1_000_000)
    before = await lab.score("inflight", lease.id)
    looked, _ = await lab.transitions.reap_many([lab.queue, new_queue()])
    assert isinstance(looked, Swept)
    assert looked.more
    assert await lab.score("inflight", lease.id) == before
    swept = await lab.transitions.reap(lab.queue)
    assert not swept.more
    assert await lab.score("inflight", lease.id) == lab.clock.now_ms + 3_600_000
    assert (await lab.counters())["clock_steps"] == 1


async def test_a_row_is_read_again_after_a_step_of_the_clock(lab: Lab) -> None:
    await lab.enqueued(a_job())
    snapshots = Snapshots(lab.names, lab.ops)
    lab.clock.advance(60_000)
    await snapshots.refresh()
    lab.clock.advance(-30_000)
    await snapshots.refresh()
    lab.clock.advance(1000)
    await snapshots.refresh()
    (row,) = [one for one in snapshots.all() if one.queue == lab.queue]
    assert (row.now_ms, row.oldest_ready_ms) == (lab.clock.now_ms, 31_000)


@pytest.mark.damages
async def test_a_damaged_queue_has_its_own_error_and_the_others_their_answers(lab: Lab) -> None:
    queues = [lab.queue, new_queue(), new_queue()]
    await lab.command("SET", keys.queue_keys(queues[1])["inflight"], "what is this")
    await lab.command("SET", keys.queue_keys(queues[1])["count"], "what is this")
    for answers in (
        await lab.transitions.reap_many(queues),
        await lab.transitions.promote_many(queues),
        await lab.ops.stats_many(queues),
        await lab.ops.record_history(queues, 3),
    ):
        assert [isinstance(one, Exception) for one in answers] == [False, True, False]
        assert isinstance(answers[1], errors.WrongState)
        assert keys.queue_keys(queues[1])["inflight"].decode() in str(answers[1]) or "count" in str(
            answers[1]
        )
    await lab.command("DEL", *(keys.queue_keys(queues[1])[name] for name in ("inflight", "count", "history")))


async def test_a_failure_of_the_whole_is_each_queues(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    async def lost(*words: object, key: bytes) -> object:
        raise redis_errors.ConnectionError("gone")

    monkeypatch.setattr(lab.link, "execute", lost)
    for answers in (await lab.transitions.reap_many(["a", "b"]), await lab.ops.stats_many(["a", "b"])):
        assert [type(one) for one in answers] == [errors.StoreUnavailable] * 2


@pytest.mark.one_server
async def test_behind_an_address_that_is_a_cluster_each_queue_is_asked_by_itself(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    queues = await _queues(lab, 3)
    execute = lab.link.execute
    refused = 0

    async def apart(*words: bytes | str | float, key: bytes) -> object:
        nonlocal refused
        if (
            words[0] == "EVALSHA"
            and len({str(word).partition("}")[0] for word in words[3 : 3 + int(words[2])]}) > 1
        ):
            refused += 1
            raise redis_errors.ClusterCrossSlotError("Keys in request don't hash to the same slot")
        return await execute(*words, key=key)

    monkeypatch.setattr(lab.link, "execute", apart)
    for _ in range(2):
        answers = await lab.ops.stats_many(queues)
        assert [one.queue for one in answers if isinstance(one, QueueSnapshot)] == queues
    assert refused == 1, "it is known from then on"


def test_which_scripts_do_so() -> None:
    """As many queues at a time as stay under 5 ms, so those that cost little for a queue with nothing to do."""
    assert MANY == ["history", "promote", "reap", "stats"]
