"""hand_back_claim: a claim whose reply was lost is handed back by the server that made it."""

import os
from typing import Any

import pytest

from relay_server import errors
from relay_server.model import ClaimGroup
from relay_server.words import LeaseWord
from tests.support.engine import Lab, a_job, new_token


@pytest.mark.covers("hand_back_claim", "OK")
async def test_i15_what_a_lost_reply_held_is_ready_again_at_its_old_place(lab: Lab) -> None:
    ids = await lab.enqueued(*(a_job() for _ in range(4)))
    before = await lab.dump()
    await _claim_and_lose_the_reply(lab, 3)
    assert await lab.ids("inflight") != []
    taken = await lab.claim(4)
    assert lab.heard["hand_back_claim"] == [[b"OK", b"3"]]
    assert taken.ids == ids
    assert [job.attempt for job in taken.jobs] == [1] * 4
    await lab.transitions.hand_back(lab.queue, taken.leases)
    after = await lab.dump()
    assert (after["ready"], after["body"]) == (before["ready"], before["body"])


@pytest.mark.covers("hand_back_claim", "NONE")
async def test_a_claim_that_was_never_applied_costs_nothing(lab: Lab) -> None:
    earlier = await lab.in_flight()
    await _lose_the_call(lab)
    before = await lab.dump()
    assert (await lab.claim()).jobs == []
    assert lab.heard["hand_back_claim"] == [[b"NONE", b"0"]]
    # The nonce of the lost claim is not that of the claim before it.
    assert (await lab.dump())["inflight"] == before["inflight"]
    assert await lab.ack(earlier) == [LeaseWord.OK]


async def test_only_what_is_still_held_counts(lab: Lab) -> None:
    ids = await lab.enqueued(*(a_job() for _ in range(3)))
    nonce, token = os.urandom(16), new_token()
    await lab.script("claim", lab.clock(), 1, "server-1", nonce, 1 << 20, token, 1000, 3, "w")
    # One is acked, one runs out and is claimed again by somebody else.
    assert await lab.script("ack", lab.clock(), ids[0], token) == [b"OK", b"0"]
    lab.clock.advance(1000)
    await lab.transitions.reap(lab.queue, limit=1)
    still = (await lab.ids("inflight"))[0]
    assert await lab.script("hand_back_claim", "server-1", nonce) == [b"OK", b"1"]
    assert await lab.where(still) == "ready"
    assert (await lab.record(still)).attempt == 0
    assert await lab.script("hand_back_claim", "server-1", nonce) == [b"NONE", b"0"]


async def test_a_token_that_was_taken_back_settles_nothing(lab: Lab) -> None:
    """The reply may be late, not lost: its tokens are worth nothing then (I6)."""
    (job_id,) = await lab.enqueued(a_job())
    nonce, token = os.urandom(16), new_token()
    await lab.script("claim", lab.clock(), 1, "server-1", nonce, 1 << 20, token, 1000, 1, "w")
    await lab.script("hand_back_claim", "server-1", nonce)
    assert await lab.script("ack", lab.clock(), job_id, token) == [b"LEASE_LOST", b""]
    assert await lab.where(job_id) == "ready"


async def test_servers_do_not_take_back_from_one_another(lab: Lab) -> None:
    ids = await lab.enqueued(a_job(), a_job())
    other = lab.another_engine("server-2")
    await other.transitions.claim(lab.queue, [ClaimGroup(new_token(), 30_000, 1, "w")])
    await _claim_and_lose_the_reply(lab, 1)
    taken = await lab.claim(2)
    assert taken.ids == [ids[1]]
    assert await lab.where(ids[0]) == "inflight"


async def test_a_cancelled_job_that_never_arrived_is_gone(lab: Lab) -> None:
    (job_id,) = await lab.enqueued(a_job())
    await _claim_and_lose_the_reply(lab, 1)
    await lab.ops.cancel(lab.queue, [job_id])
    assert (await lab.claim()).jobs == []
    assert await lab.where(job_id) == "gone"


async def _claim_and_lose_the_reply(lab: Lab, jobs: int) -> None:
    run = lab.engine.scripts.run

    async def applied_but_lost(name: str, *args: Any, **kwargs: Any) -> list[bytes]:
        await run(name, *args, **kwargs)
        raise errors.StoreUnavailable("the reply was lost")

    await _claim_with(lab, applied_but_lost, jobs)


async def _lose_the_call(lab: Lab) -> None:
    async def lost(name: str, *args: Any, **kwargs: Any) -> list[bytes]:
        raise errors.StoreUnavailable("the call was lost")

    await _claim_with(lab, lost, 1)


async def _claim_with(lab: Lab, run: Any, jobs: int) -> None:
    usual = lab.engine.scripts.run
    lab.engine.scripts.run = run  # type: ignore[method-assign]
    try:
        with pytest.raises(errors.StoreUnavailable):
            await lab.claim(jobs)
    finally:
        lab.engine.scripts.run = usual  # type: ignore[method-assign]
