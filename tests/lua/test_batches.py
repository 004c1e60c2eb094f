"""A batch of N answers exactly what N separate calls would, and leaves exactly the same behind."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from relay_server.engine import keys
from relay_server.model import Extension, Lease, NackedJob, NewJob
from relay_server.words import EnqueueWord, LeaseWord, NackWord
from tests.support.engine import LEASE_MS, Lab, a_job, new_id, new_queue, new_token

Call = Callable[[str, Sequence[Any]], Awaitable[list[Any]]]


async def _same(lab: Lab, prepare: Callable[[str], Awaitable[Sequence[Any]]], call: Call) -> list[Any]:
    """Runs the entries at once on one queue and one by one on its twin; compares answers and all that is stored."""
    together, apart = new_queue(), new_queue()
    entries = await prepare(together)
    assert list(entries) == list(await prepare(apart))
    answers = await call(together, entries)
    assert answers == [answer for entry in entries for answer in await call(apart, [entry])]
    first, second = await lab.dump(together), await lab.dump(apart)
    first.pop("claims", None), second.pop("claims", None)
    assert first == second
    return answers


def _leases(lab: Lab) -> Callable[[str], Awaitable[list[Lease]]]:
    """Four held jobs (the last one cancelled) and one that is gone, the same ones in each queue."""
    ids, tokens = [new_id() for _ in range(4)], [new_token() for _ in range(4)]
    gone = Lease(new_id(), new_token())

    async def prepare(queue: str) -> list[Lease]:
        await lab.transitions.enqueue(queue, [a_job(job_id=job_id, max_attempts=2) for job_id in ids])
        names = keys.queue_keys(queue)
        for token in tokens:
            args = (lab.clock(), 1, "server-1", bytes(16), 1 << 20, token, LEASE_MS, 1, "w")
            await lab.script("claim", *args, key_names=names)
        await lab.ops.cancel(queue, [ids[3]])
        leases = [Lease(job_id, token) for job_id, token in zip(ids, tokens, strict=True)]
        stale = Lease(ids[0], bytes(16))
        return [leases[0], leases[0], stale, leases[1], gone, leases[3], leases[3], leases[2], leases[1]]

    return prepare


async def test_i10_acks_with_repeats(lab: Lab) -> None:
    answers = await _same(lab, _leases(lab), lab.transitions.ack)
    ok, lost, gone = LeaseWord.OK, LeaseWord.LEASE_LOST, LeaseWord.GONE
    words = [answer.word for answer in answers]
    assert words == [ok, gone, gone, ok, gone, LeaseWord.CANCELLED, gone, ok, gone]
    assert lost not in words


@pytest.mark.parametrize("after_ms", [0, 2000])
async def test_i10_nacks_of_every_kind_with_repeats(lab: Lab, after_ms: int) -> None:
    leases = _leases(lab)

    async def prepare(queue: str) -> list[NackedJob]:
        kinds = itertools.cycle(NackWord)
        return [
            NackedJob(*lease, kind, after_ms, "E", b"e")
            for lease, kind in zip(await leases(queue), kinds, strict=False)
        ]

    answers = await _same(lab, prepare, lab.transitions.nack)
    assert {answer.word for answer in answers} == set(LeaseWord)
    assert answers[0] == answers[1]


async def test_i10_extensions_with_repeats(lab: Lab) -> None:
    leases = _leases(lab)

    async def prepare(queue: str) -> list[Extension]:
        return [Extension(*lease, 0.1 * i, f"step {i}") for i, lease in enumerate(await leases(queue))]

    answers = await _same(lab, prepare, lab.transitions.extend)
    assert {answer.word for answer in answers} == set(LeaseWord)


async def test_cancels_with_repeats(lab: Lab) -> None:
    leases = _leases(lab)

    async def prepare(queue: str) -> list[bytes]:
        ready = bytes(16)
        await lab.transitions.enqueue(queue, [a_job(job_id=ready)])
        return [*(lease.id for lease in await leases(queue)), ready, ready]

    await _same(lab, prepare, lab.ops.cancel)


async def test_i8_enqueues_that_share_ids_and_keys(lab: Lab) -> None:
    first, again = a_job(b"x", key="k"), a_job(b"x", key="k")
    other, plain = a_job(b"y", key="k"), a_job(b"z")
    jobs = [first, again, other, plain, a_job(b"zz", job_id=plain.id), first, a_job(b"w", key="l"), a_job()]

    async def prepare(queue: str) -> list[NewJob]:
        await lab.ops.configure(queue, {"max_jobs": 3})
        return jobs

    answers = await _same(lab, prepare, lab.transitions.enqueue)
    words = [answer.word for answer in answers]
    assert set(words) == set(EnqueueWord) - {EnqueueWord.REUSED}


async def test_ack_and_nack_of_one_job_at_once_settle_it_once(lab: Lab) -> None:
    for _ in range(10):
        lease = await lab.in_flight()
        acked, nacked = await asyncio.gather(lab.ack(lease), lab.nack(lease, after_ms=0))
        # The ack was asked first and runs first; the nack finds the job gone.
        assert acked == [LeaseWord.OK]
        assert nacked.word == LeaseWord.GONE
        assert await lab.where(lease.id) == "gone"
        lease = await lab.in_flight()
        nacked, acked = await asyncio.gather(lab.nack(lease, after_ms=5000), lab.ack(lease))
        assert (nacked.word, acked) == (LeaseWord.OK, [LeaseWord.LEASE_LOST])
        assert await lab.where(lease.id) == "delayed"


async def test_many_callers_share_scripts_and_each_gets_its_own_answer(lab: Lab) -> None:
    jobs = [a_job() for _ in range(700)]
    answers = await asyncio.gather(*(lab.enqueue(job, request_id=job.id) for job in jobs))
    assert [answer.job_id for (answer,) in answers] == [job.id for job in jobs]
    assert len(lab.heard["enqueue"]) == 2  # 500 and 200
    leases = (await lab.claim(500)).leases + (await lab.claim(500)).leases
    stale = [Lease(lease.id, new_token()) for lease in leases]
    mixed = [lease for pair in zip(stale, leases, strict=True) for lease in pair]
    words = await asyncio.gather(*(lab.ack(lease) for lease in mixed))
    assert words == [[LeaseWord.LEASE_LOST], [LeaseWord.OK]] * 700
    assert len(lab.heard["ack"]) == 3
