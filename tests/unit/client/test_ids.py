"""Ids: UUIDv7, strictly rising in a process whatever the clock and the threads do."""

import multiprocessing
import threading
import time
import uuid
from multiprocessing.connection import Connection

import pytest

from relay_client import ids


def test_an_id_is_a_version_7_uuid_of_now() -> None:
    before = time.time_ns() // 1_000_000
    minted = uuid.UUID(ids.new_id())
    after = time.time_ns() // 1_000_000
    assert minted.version == 7
    assert minted.variant == uuid.RFC_4122
    # Ids minted by other tests in the same millisecond may have carried over into the next one.
    assert before <= minted.int >> 80 <= after + 1


def test_text_form_is_canonical_and_sorts_by_age() -> None:
    minted = [ids.new_id() for _ in range(1000)]
    assert all(str(uuid.UUID(text)) == text for text in minted)
    assert minted == sorted(minted)
    assert len(set(minted)) == len(minted)


@pytest.mark.parametrize("step_ms", [0, -5000])
def test_ids_rise_while_the_clock_stands_still_or_goes_back(
    monkeypatch: pytest.MonkeyPatch, step_ms: int
) -> None:
    now = 1_800_000_000_000
    mint = ids._Mint()
    clock = iter(range(2000))
    monkeypatch.setattr("time.time_ns", lambda: (now + step_ms * (next(clock) > 0)) * 1_000_000)
    minted = [mint.next() for _ in range(2000)]
    assert minted == sorted(set(minted))
    assert {value >> 76 & 0xF for value in minted} == {7}
    assert minted[-1] >> 80 == now


def test_a_used_up_millisecond_borrows_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    mint = ids._Mint()
    monkeypatch.setattr("time.time_ns", lambda: 1_800_000_000_000 * 1_000_000)
    first = mint.next()
    mint._tail = (1 << 74) - 1
    second = mint.next()
    assert second > first
    assert second >> 80 == 1_800_000_000_001


def test_threads_never_share_an_id_and_each_sees_its_own_rise() -> None:
    start = threading.Barrier(8)
    minted: list[list[str]] = [[] for _ in range(8)]

    def work(mine: list[str]) -> None:
        start.wait()
        mine.extend(ids.new_id() for _ in range(2000))

    threads = [threading.Thread(target=work, args=(mine,)) for mine in minted]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(mine == sorted(mine) for mine in minted)
    assert len({value for mine in minted for value in mine}) == 16_000


def _mint_in_child(out: Connection) -> None:
    out.send([ids.new_id() for _ in range(500)])


def test_a_forked_child_mints_other_ids() -> None:
    ids.new_id()
    ids._mint._lock.acquire()  # as if another thread were minting at the moment of the fork
    try:
        here, there = multiprocessing.Pipe()
        child = multiprocessing.get_context("fork").Process(target=_mint_in_child, args=(there,))
        child.start()
    finally:
        ids._mint._lock.release()
    mine = [ids.new_id() for _ in range(500)]
    try:
        assert here.poll(10), "the child hangs on its parent's lock"
        theirs = here.recv()
        child.join(10)
        assert child.exitcode == 0
    finally:
        child.kill()
        child.join()
    assert not set(mine) & set(theirs)
