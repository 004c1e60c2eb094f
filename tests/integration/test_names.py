"""Which queues there are: quotas, first settings, forgetting, and what unused queues cost."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest

from relay.v1 import admin_service_pb2 as admin_pb
from relay.v1 import queue_service_pb2 as pb
from relay_server import errors
from relay_server.engine import Engine, Operations, keys
from relay_server.engine.names import RECENT_MS, RENEW_S, TRUST_S, NameLimits
from relay_server.engine.snapshots import Snapshots
from relay_server.loops import promoter
from relay_server.loops.forgetter import PAGE, Forgetter
from relay_server.loops.sweep import CAP_S, Sweep
from tests.integration.conftest import Start
from tests.support.credentials import Metadata, TokensFile, bearer
from tests.support.engine import Lab, a_job, new_queue
from tests.support.operator_desk import Desk
from tests.support.relay import Relay, eventually, refusal, spec


@pytest.fixture
def tokens(tmp_path: Path) -> TokensFile:
    return TokensFile(tmp_path / "tokens.toml")


@pytest.fixture
def ann(tokens: TokensFile) -> Metadata:
    return bearer(tokens.add("ann", producer="*", worker="*", viewer="*", operator="*"))


@pytest.fixture
def bob(tokens: TokensFile) -> Metadata:
    return bearer(tokens.add("bob", producer="*"))


@pytest.fixture
async def small(another: Start, tokens: TokensFile, ann: Metadata, bob: Metadata) -> Relay:
    """A server on which one principal may make two queues, and claim from three at once."""
    return await another(
        tokens_file=tokens.path,
        principal_queues_max=2,
        principal_subscriptions_max=3,
        principal_watches_max=1,
    )


def claim_of(*queues: str) -> pb.ClaimRequest:
    weights = [pb.QueueWeight(queue=queue, weight=1) for queue in queues]
    return pb.ClaimRequest(queues=weights, worker_id="w", max_in_flight=1)


async def refused(call: Any) -> tuple[grpc.StatusCode, str, str]:
    error = await refusal(call)
    return error.code, error.reason, error.text


QUOTA = (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED")
OVERLOADED = (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")


async def test_a_principal_makes_so_many_queues_and_uses_all_that_there_are(
    small: Relay, ann: Metadata, bob: Metadata
) -> None:
    one, two, three, of_bob = (new_queue() for _ in range(4))

    async def enqueue(queue: str, who: Metadata) -> None:
        await small.queue.Enqueue(pb.EnqueueRequest(queue=queue, job=spec()), metadata=who)

    await asyncio.gather(*(enqueue(queue, ann) for queue in (one, two) for _ in range(20)))
    code, reason, text = await refused(enqueue(three, ann))
    assert (code, reason) == QUOTA
    assert "ann has made 2 queues" in text
    assert "--principal-queues-max" in text
    assert (await refused(small.queue.Claim(claim_of(one, three), metadata=ann)))[:2] == QUOTA
    update = admin_pb.UpdateQueueRequest(queue=three, settings=admin_pb.QueueSettings(max_jobs=5))
    assert (await refused(small.admin.UpdateQueue(update, metadata=ann)))[:2] == QUOTA
    assert not await small.app.engine.names.knows(three)

    await enqueue(of_bob, bob)
    await enqueue(of_bob, ann)
    await enqueue(one, ann)
    # What is forgotten makes room.
    async for _ in small.admin.PurgeQueue(
        admin_pb.PurgeQueueRequest(queue=two, confirm=two, forget=True), metadata=ann
    ):
        pass
    await enqueue(three, ann)


async def test_the_store_holds_so_many_queues_without_tokens_too(another: Start) -> None:
    relay = await another(queues_max=2)
    first, second = new_queue(), new_queue()
    await relay.enqueue(first)
    await relay.enqueue(second)
    call = relay.queue.Enqueue(pb.EnqueueRequest(queue=new_queue(), job=spec()))
    code, reason, text = await refused(call)
    assert (code, reason) == QUOTA
    assert "--queues-max" in text
    await relay.enqueue(first)


async def test_subscriptions_and_watches_of_a_principal_are_bounded(small: Relay, ann: Metadata) -> None:
    one, two = new_queue(), new_queue()
    stream = small.queue.Claim(claim_of(one, two), metadata=ann)
    await stream.read()
    code, reason, text = await refused(small.queue.Claim(claim_of(one, two), metadata=ann))
    assert (code, reason) == OVERLOADED
    assert "--principal-subscriptions-max" in text
    another = small.queue.Claim(claim_of(one), metadata=ann)
    await another.read()
    watch = small.admin.WatchStats(admin_pb.WatchStatsRequest(), metadata=ann)
    await watch.read()
    code, reason, text = await refused(small.admin.WatchStats(admin_pb.WatchStatsRequest(), metadata=ann))
    assert (code, reason) == OVERLOADED
    assert "--principal-watches-max" in text
    for call in (stream, another, watch):
        call.cancel()
    await eventually(lambda: not small.app.gate._used, what="nothing is counted any more")


async def test_new_queues_begin_with_the_settings_of_their_name(another: Start) -> None:
    relay = await another(
        queue_default=["tenant-a-*:max_jobs=1", "tenant-*:max_jobs=2,rate=50.5,priority_step_s=60"]
    )
    strict, tenant, other = f"tenant-a-{new_queue()}", f"tenant-{new_queue()}", new_queue()
    for queue in (strict, tenant, other):
        await relay.enqueue(queue)
    call = relay.queue.Enqueue(pb.EnqueueRequest(queue=strict, job=spec()))
    assert (await refused(call))[1] == "QUEUE_FULL"
    listed = {one.name: one for one in (await relay.admin.ListQueues(admin_pb.ListQueuesRequest())).queues}
    assert [listed[queue].settings.max_jobs for queue in (strict, tenant, other)] == [1, 2, 0]
    assert listed[tenant].settings.rate == 50.5
    assert listed[tenant].settings.priority_step.seconds == 60
    # An operator's word counts, also for a queue that it makes.
    own = f"tenant-{new_queue()}"
    settings = admin_pb.QueueSettings(max_jobs=7)
    made = await relay.admin.UpdateQueue(admin_pb.UpdateQueueRequest(queue=own, settings=settings))
    assert (made.queue.settings.max_jobs, made.queue.settings.rate) == (7, 50.5)


def first_settings(_: str) -> dict[str, float]:
    return {"max_jobs": 5.0}


async def test_first_settings_are_given_once_whoever_comes_first(lab: Lab) -> None:
    engines = [
        Engine(lab.link, server_id=f"s{i}", clock=lab.clock, first_settings=first_settings) for i in range(4)
    ]
    queues = [new_queue() for _ in range(25)]
    await asyncio.gather(*(engine.enqueue(queue, [a_job()]) for queue in queues for engine in engines))
    assert {(await lab.ops.stats(queue)).settings.max_jobs for queue in queues} == {5}
    await lab.enqueued(a_job())
    await engines[0].enqueue(lab.queue, [a_job()])
    assert (await lab.ops.stats(lab.queue)).settings.max_jobs == 0, "it was there before"


async def test_i13_a_queue_that_nobody_uses_is_forgotten_and_its_place_is_free(lab: Lab) -> None:
    engine = Engine(lab.link, server_id="s", clock=lab.clock, name_limits=NameLimits(owned_max=2))
    ops = Operations(engine)
    forgetter = Forgetter(engine, ops, idle_s=600)
    empty, full, cared, new = (new_queue() for _ in range(4))
    await engine.enter([empty, full], owner="ann")
    await engine.enqueue(full, [a_job(delay_ms=10**9)])
    await ops.configure(cared, {"max_jobs": 5})
    lab.clock.advance(600_000)
    await engine.enter([new])
    result = await forgetter.run_once()
    assert (result.looked_at, result.forgotten) == (3, 1)
    assert set(await engine.names.all()) == {full, cared, new}
    await engine.enter([new_queue()], owner="ann")
    with pytest.raises(errors.QuotaExceeded):
        await engine.enter([new_queue()], owner="ann")


async def test_queues_that_are_kept_do_not_hide_those_behind_them(lab: Lab) -> None:
    kept = [f"kept-{i}" for i in range(PAGE)]
    await lab.engine.enter(kept)
    for queue in kept:
        await lab.command("HSET", keys.queue_keys(queue)["conf"], "paused", "1")
    lab.clock.advance(1)
    await lab.engine.enter([lab.queue])
    lab.clock.advance(600_000)
    forgetter = Forgetter(lab.engine, lab.ops, idle_s=600)
    assert [(await forgetter.run_once()).forgotten for _ in range(2)] == [0, 1]
    assert (await forgetter.run_once()).looked_at == PAGE, "and again from the start"


async def test_forgetting_and_enqueuing_at_once_lose_no_job_and_hide_no_queue(lab: Lab) -> None:
    """Whoever enqueues enters the queue first, so that its last use is seen."""
    for _ in range(30):
        queue = new_queue()
        await lab.engine.enter([queue])
        lab.clock.advance(700_000)
        fresh = lab.another_engine("server-2")
        (answer,), _ = await asyncio.gather(
            fresh.enqueue(queue, [a_job()]),
            lab.ops.forget_idle(queue, until_ms=lab.clock.now_ms - 600_000),
        )
        assert (await lab.ops.stats(queue)).ready == 1
        assert await lab.engine.names.knows(queue)
        assert await lab.ops.get_job(queue, answer.job_id) is not None


async def test_a_queue_that_was_forgotten_while_it_was_used_is_known_again(lab: Lab) -> None:
    """An operator forgets it by another server in the moment in which a job comes."""
    now = 0.0
    lab.engine.names._clock = lambda: now
    await lab.enqueued(a_job())
    await lab.another_engine("server-2").names.leave(lab.queue)
    now = TRUST_S - 1
    await lab.enqueued(a_job())
    assert not await lab.engine.names.knows(lab.queue)
    assert await lab.engine.renew_names() == 1
    assert await lab.engine.names.knows(lab.queue)


async def test_a_single_job_in_a_queue_that_was_just_forgotten_makes_it_known_again(lab: Lab) -> None:
    """A delayed one would never become ready, for no loop looks at a queue that is not known."""
    now = 0.0
    lab.engine.names._clock = lambda: now
    await lab.engine.enter([lab.queue])
    await lab.another_engine("server-2").names.leave(lab.queue)
    now = 1.0
    await lab.engine.enqueue(lab.queue, [a_job(delay_ms=1000)])
    assert await lab.engine.renew_names() == 0, "what was noted a moment ago costs nothing"
    now = RENEW_S
    assert await lab.engine.renew_names() == 1
    assert await lab.engine.names.knows(lab.queue)


async def test_a_queue_with_jobs_is_known_again_in_a_store_that_is_full_of_names(lab: Lab) -> None:
    now = 0.0
    engine = Engine(lab.link, server_id="s", clock=lab.clock, name_limits=NameLimits(queues_max=1))
    engine.names._clock = lambda: now
    await engine.enqueue(lab.queue, [a_job()])
    await lab.engine.names.leave(lab.queue)
    await lab.engine.enter([new_queue()])
    now = RENEW_S
    await engine.enqueue(lab.queue, [a_job()])
    assert await engine.renew_names() == 1
    assert await engine.names.knows(lab.queue)


async def test_acks_of_strangers_make_no_queue_known(lab: Lab) -> None:
    await lab.ack(await lab.in_flight())
    for queue in (new_queue() for _ in range(10)):
        lab.engine.names.touch(queue)
    assert await lab.engine.renew_names() == 0
    assert await lab.engine.names.all() == [lab.queue]


async def test_i11_a_delayed_job_of_an_unused_queue_is_due_in_time_after_all_servers_restarted(
    lab: Lab,
) -> None:
    """A thousand queues, unused for days; nobody knows when their jobs are due until each was looked at once."""
    queues = [f"unused-{i}" for i in range(1000)]
    for queue in queues:
        await lab.engine.names.enter(queue)
    for at, queue in enumerate(queues[::100]):
        await lab.engine.enqueue(queue, [a_job(delay_ms=1000 * 86_400_000 + at * 1000)])
    lab.clock.advance(999 * 86_400_000)

    now = 0.0
    restarted = lab.another_engine("server-2")
    sweep = Sweep("promoter", restarted.promote, restarted.promote_many, restarted, clock=lambda: now)
    looked_at = 0
    while not sweep._rotation.rounds:
        result = await sweep.run_once()
        looked_at += result.queues
        if not sweep._rotation.rounds:
            now += result.wait_s
    assert looked_at >= 1000
    assert now <= 5, "500 a second"
    lab.clock.advance(86_400_000)
    due = await sweep.run_once()
    assert due.taken == 1, "known since the first look, whoever's turn it is"
    assert due.wait_s == 1.0
    lab.clock.advance(9000)
    assert (await sweep.run_once()).taken == 9


async def test_the_loops_look_at_what_is_used_and_at_a_bounded_number_of_others(lab: Lab) -> None:
    unused = [f"unused-{i}" for i in range(3000)]
    for i in range(0, 3000, 500):
        await lab.engine.enter(unused[i : i + 500])
    lab.clock.advance(RECENT_MS + 1)
    await lab.enqueued(a_job(), a_job(delay_ms=60_000))
    now = 0.0
    sweep = Sweep("promoter", lab.engine.promote, lab.engine.promote_many, lab.engine, clock=lambda: now)
    while not sweep._rotation.rounds:
        now += (await sweep.run_once()).wait_s
    looked_at = 0
    for _ in range(12):
        now += CAP_S
        lab.clock.advance(int(CAP_S * 1000))
        looked_at += (await sweep.run_once()).queues
    assert looked_at <= 12 * (CAP_S * 50 + 100), "50 a second, and what the store gives at once"
    assert len(sweep._rounds) < 1000, "what holds nothing is not remembered"
    lab.clock.advance(1000)
    assert (await sweep.run_once()).taken == 0
    assert await lab.ids("delayed") == [], "the job that was due in between was made ready"


async def test_a_promoted_queue_is_in_use_again(lab: Lab) -> None:
    await lab.enqueued(a_job(delay_ms=RECENT_MS * 2))
    lab.clock.advance(RECENT_MS * 2)
    server = lab.another_engine("server-2")
    assert (await server.names.recent()).names == []
    assert (await promoter.make_sweep(server).run_once()).taken == 1
    await server.renew_names()
    assert (await lab.engine.names.recent()).names == [lab.queue]


@pytest.mark.parametrize("how", ["abandon", "release", "set_aside"])
async def test_a_queue_whose_leases_a_server_ends_is_in_use_again(lab: Lab, how: str) -> None:
    """A worker that runs one job for hours and vanishes: what becomes of its job shows at once."""
    lease = await lab.in_flight()
    looks = lab.another_engine("server-3")
    snapshots = Snapshots(looks, Operations(looks))
    lab.clock.advance(RECENT_MS + 1)
    await snapshots.refresh()
    server = lab.another_engine("server-2")
    if how == "abandon":
        await server.abandon(lab.queue, [lease], since_ms=lab.clock.now_ms)
    else:
        await getattr(server, how)(lab.queue, [lease])
    await server.renew_names()
    (shown,) = await snapshots.read([lab.queue])
    assert shown.inflight == 0


async def test_snapshots_read_what_is_used_and_reckon_the_rest(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    unused = [f"unused-{i}" for i in range(700)]
    await lab.engine.enter(unused)
    await lab.engine.enqueue(unused[7], [a_job()])
    snapshots = Snapshots(lab.engine, lab.ops)
    for _ in range(3):
        await snapshots.refresh()
    assert len(snapshots.all()) == 700
    first = snapshots.version
    lab.clock.advance(RECENT_MS + 1000)
    await lab.enqueued(a_job())
    read: list[str] = []
    stats = lab.ops.stats_many

    async def noted(queues: Sequence[str]) -> object:
        read.extend(queues)
        return await stats(queues)

    monkeypatch.setattr(lab.ops, "stats_many", noted)
    monkeypatch.setattr(snapshots._rotation, "_owed", -1e9)
    await snapshots.refresh()
    assert read == [lab.queue]
    changes = snapshots.since(first)
    assert (changes.whole, [one.queue for one in changes.queues]) == (False, [lab.queue])
    waiting = snapshots.get(unused[7])
    assert waiting is not None
    assert waiting.oldest_ready_ms == RECENT_MS + 1000, "it goes on waiting"

    await lab.engine.names.leave(unused[0])
    await snapshots.refresh()
    assert snapshots.since(snapshots.version - 1).gone == [unused[0]]
    assert len(snapshots.since(0).queues) == 700
    assert snapshots.since(0).whole


@pytest.mark.damages
async def test_a_name_that_is_no_text_hides_no_other_and_stops_no_loop(lab: Lab) -> None:
    await lab.enqueued(a_job(delay_ms=10))
    await lab.command("ZADD", keys.QUEUES, lab.clock.now_ms, b"\xff\xfe")
    lab.clock.advance(20)
    assert await lab.engine.names.all() == [lab.queue]
    assert (await promoter.make_sweep(lab.engine).run_once()).taken == 1
    assert (await Forgetter(lab.engine, lab.ops, idle_s=0).run_once()).forgotten == 0
    snapshots = Snapshots(lab.engine, lab.ops)
    await snapshots.refresh()
    assert [one.queue for one in snapshots.all()] == [lab.queue]


async def test_pages_of_stats(desk: Desk, lab: Lab) -> None:
    names = sorted([*(f"page-{i:03}" for i in range(250)), "other"])
    await lab.engine.enter(names)
    found: list[str] = []
    token = ""
    for size in (100, 100, 50):
        page = await desk.admin.Stats(admin_pb.StatsRequest(prefix="page-", page_token=token))
        assert len(page.queues) == size
        found += [one.queue for one in page.queues]
        token = page.next_page_token
    assert token == ""
    assert found == [name for name in names if name.startswith("page-")]
    wrong = await refusal(desk.admin.Stats(admin_pb.StatsRequest(page_token="x")))
    assert wrong.reason == "INVALID_FIELD"


async def test_a_queue_with_leases_is_looked_at_though_nobody_uses_it(lab: Lab) -> None:
    """Ten seconds without a look would be taken for an outage."""
    now = 0.0
    sweep = Sweep(
        "reaper", lab.engine.reap, lab.engine.reap_many, lab.engine, watches=True, clock=lambda: now
    )
    await lab.in_flight(lease_ms=3_600_000)
    assert (await sweep.run_once()).queues == 1
    sweep._rotation._owed = -1e9
    lab.clock.advance(RECENT_MS + 1)
    for _ in range(3):
        now += CAP_S
        assert (await sweep.run_once()).queues == 1
