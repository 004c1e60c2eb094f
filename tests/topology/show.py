"""Failovers and slot moves under load, each with its figures and whether the promises held."""

import asyncio
import random
import shutil
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from redis.crc import key_slot

from relay_server.engine import keys
from tests.support.fleet import QUEUE, Fleet, Settled, Sheet, sampled, small_jobs
from tests.support.history import Verdict
from tests.support.redis_binaries import redis7, valkey9
from tests.support.redis_cluster import RedisCluster, port_of_slot, start_cluster
from tests.support.redis_members import Member
from tests.support.redis_sentinel import RedisSentinel, start_sentinel
from tests.support.waiting import eventually
from tests.topology.moves import move_key_by_key, move_whole

RESUMED_WITHIN_S = 15.0
_KEY = keys.queue_keys(QUEUE)["ready"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How much goes on, and for how long before and after the fault."""

    rate: float = 300.0
    seconds: float = 5.0
    workers: int = 3
    servers: int = 2


@asynccontextmanager
async def _running(
    start: Callable[[], RedisCluster | RedisSentinel], load: Load, *, store_options: str = ""
) -> AsyncIterator[tuple[Any, Fleet]]:
    store = await asyncio.to_thread(start)
    try:
        async with Fleet.start(
            store=store,
            store_options=store_options,
            servers=load.servers,
            workers=load.workers,
            lease="3s",
        ) as fleet:
            yield store, fleet
    finally:
        store.kill()
        shutil.rmtree(store.folder, ignore_errors=True)


def _judge(sheet: Sheet, verdict: Verdict, settled: Settled, *, strict: bool) -> None:
    """Every promise must hold. The sheet notes a loss that the declared window allows."""
    kinds = Counter(violation.kind for violation in verdict.violations)
    sheet.note(f"history: {verdict}")
    sheet.note(f"counters: { {name: n for name, n in sorted(settled.stats.counters.items()) if n} }")
    for violation in verdict.violations[:5]:
        sheet.note(f"{'VIOLATION' if strict else 'within the declared window:'} {violation}")
    allowed = set() if strict else {"lost", "redelivered", "keys", "attempts", "epochs"}
    broken = {kind: n for kind, n in kinds.items() if kind not in allowed}
    sheet.check(not broken, f"promises broken: {broken or 'none'}; lost: {kinds.get('lost', 0)}")
    sheet.check(not settled.final.live, f"{len(settled.final.live)} jobs are left over")
    sheet.check(not settled.findings, f"the audit is clean: {settled.findings[:5] or 'no findings'}")


# What happens to a primary, and what ends it.
FAULTS: dict[str, tuple[Callable[[Member], None], Callable[[Member], None]]] = {
    "is killed": (Member.kill, Member.start),
    "freezes": (Member.freeze, Member.thaw),
    # Relay still reaches it, its replicas and the Sentinels do not: for a while there are two primaries.
    "is cut off": (Member.cut_off, Member.rejoin),
}


async def failover(shape: str, *, wait: bool, fault: str = "is killed", load: Load = Load()) -> bool:
    """Something happens to the primary with the queue under load; when that is over it comes back as a replica."""
    strike, mend = FAULTS[fault]
    options = "?wait_replicas=1" if wait else ""
    sheet = Sheet(
        f"{shape}: the primary {fault} under load; "
        f"{'wait_replicas=1' if wait else 'asynchronous replication'}"
    )
    starts: dict[str, Callable[[], RedisCluster | RedisSentinel]] = {
        "cluster": lambda: start_cluster(redis7(), replicas=2 if wait else 1, node_timeout_ms=2000),
        "sentinel": lambda: start_sentinel(
            redis7(),
            replicas=2 if wait else 1,
            down_after_ms=2000,
            can_be_cut_off=fault == "is cut off",
        ),
    }
    async with _running(starts[shape], load, store_options=options) as (store, fleet):
        async with fleet.producing(small_jobs, rate=load.rate) as producer, sampled(fleet) as throughput:
            await fleet.until_acked(50)
            await asyncio.sleep(load.seconds)
            before = min(load.rate, throughput.rate(time.monotonic() - load.seconds, time.monotonic()))
            victim = store.owner(_KEY)
            at = time.monotonic()
            await asyncio.to_thread(strike, victim)

            async def promoted() -> bool:
                return bool(await asyncio.to_thread(_owner_but, store, victim))

            await eventually(promoted, within=30, what="a new primary")
            promoted_s = time.monotonic() - at
            back = await throughput.back(at + promoted_s, before, within=60)
            await asyncio.to_thread(mend, victim)
            await asyncio.sleep(load.seconds)
        sheet.note(f"{before:.0f} jobs/s before; a replica was primary after {promoted_s:.1f} s")
        sheet.check(
            back < RESUMED_WITHIN_S,
            f"throughput was back {back:.1f} s after the promotion, {promoted_s + back:.1f} s after the fault",
        )
        sheet.note(
            f"{producer.acknowledged} of {producer.sent} enqueues acknowledged, {len(producer.failures)} "
            f"failed after retries; the slowest call took {producer.slowest_s:.1f} s"
        )
        verdict, settled = await fleet.judge(within=60)
        _judge(sheet, verdict, settled, strict=wait)
    return sheet.ok


def _owner_but(store: Any, victim: Any) -> bool:
    """Whether somebody else has the queue, as a member that answers says."""
    members = [m for m in store.members if m is not victim and m.alive]
    if isinstance(store, RedisSentinel):
        return bool(store.primary() is not victim)
    return port_of_slot(key_slot(_KEY), members[0]) not in (0, victim.port)


async def slots(kind: str, *, moves: int = 100, load: Load = Load()) -> bool:
    """The slots of the queue, of the names and of the sessions go round the primaries under load."""
    whole = kind == "valkey9"
    sheet = Sheet(f"{kind}: {moves} slot moves under load, {'as a whole' if whole else 'key by key'}")
    move = move_whole if whole else move_key_by_key
    held = [key_slot(_KEY)] * 4 + [key_slot(keys.QUEUES), key_slot(keys.SESSION_KEYS["entry"])]
    dice = random.Random(6)
    async with _running(lambda: start_cluster(valkey9() if whole else redis7()), load) as (store, fleet):
        took: list[float] = []
        moved = of_queue = 0
        async with fleet.producing(small_jobs, rate=load.rate) as producer, sampled(fleet) as throughput:
            await fleet.until_acked(50)
            await asyncio.sleep(load.seconds)
            before = min(load.rate, throughput.rate(time.monotonic() - load.seconds, time.monotonic()))
            began = time.monotonic()
            for _ in range(moves):
                slot = dice.choice(held)
                source = store.owner_of_slot(slot)
                target = dice.choice([member for member in store.primaries if member is not source])
                at = time.monotonic()
                moved += await asyncio.to_thread(move, store, slot, target)
                took.append(time.monotonic() - at)
                of_queue += slot == held[0]
                await asyncio.sleep(0.05)
            during = throughput.rate(began, time.monotonic())
            ended = time.monotonic()
            back = await throughput.back(ended, before)
            await asyncio.sleep(load.seconds)
        took.sort()
        sheet.note(
            f"{before:.0f} jobs/s before, {during:.0f} during the moves; {of_queue} moves of the queue's slot, "
            f"{moved} keys; a move took {took[len(took) // 2] * 1000:.0f} ms in the middle, "
            f"{took[-1] * 1000:.0f} at most"
        )
        sheet.check(back < RESUMED_WITHIN_S, f"throughput was back {back:.1f} s after the last move")
        sheet.check(
            not producer.failures,
            f"{len(producer.failures)} of {producer.sent} enqueues failed after retries",
        )
        sheet.note(f"the slowest call took {producer.slowest_s:.2f} s")
        verdict, settled = await fleet.judge(within=60)
        _judge(sheet, verdict, settled, strict=True)
    return sheet.ok


async def all_failovers() -> bool:
    held = [
        await failover("sentinel", wait=True),
        await failover("sentinel", wait=True, fault="freezes"),
        await failover("sentinel", wait=True, fault="is cut off"),
        await failover("sentinel", wait=False, fault="is cut off"),
        await failover("sentinel", wait=False),
        await failover("cluster", wait=True),
        await failover("cluster", wait=True, fault="freezes"),
        await failover("cluster", wait=False),
    ]
    return all(held)


async def all_slots() -> bool:
    held = [await slots("redis7"), await slots("valkey9")]
    return all(held)


SHOWS: dict[str, Callable[[], Coroutine[Any, Any, bool]]] = {"failover": all_failovers, "slots": all_slots}
