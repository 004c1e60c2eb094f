"""Rooms: the bytes that wait for slow readers are counted by session, principal and server."""

import os

import pytest
from structlog.testing import capture_logs

from relay_server.claims.parcel import Parcel
from relay_server.claims.rooms import JOB_BYTES, RoomBounds, Rooms
from relay_server.claims.session import Session, Terms
from relay_server.claims.sessions import Sessions
from relay_server.model import ClaimedJob
from relay_server.security.principals import ANYONE

CLAIM = 100_000
BOUNDS = RoomBounds(session=400_000, principal=1_000_000, server=1_500_000, claim=CLAIM)


@pytest.fixture
def rooms() -> Rooms:
    return Rooms(BOUNDS)


def session_of(rooms: Rooms, principal: str) -> Session:
    terms = Terms(
        worker_id="w",
        client_version="",
        queues={"a": 1, "b": 1},
        max_in_flight=1000,
        lease_ms=1000,
        grace_ms=0,
    )
    return Sessions("server", rooms).open("", principal, terms, 0)


def parcel(size: int) -> Parcel:
    body = b"x" * (size - JOB_BYTES)
    return Parcel("a", os.urandom(16), 1000, 0.0, [ClaimedJob(os.urandom(16), 1, 1, 1, 0, body)])


def fill(session: Session, size: int) -> Parcel:
    given = parcel(size)
    session.accept(given)
    return given


def test_a_session_has_no_slots_while_its_bytes_wait(rooms: Rooms) -> None:
    session = session_of(rooms, "shop")
    assert session.free == 1000
    given = fill(session, 310_000)
    assert session.free == 0
    assert session_of(rooms, "shop").free == 1000, "another session of the same principal"
    assert session.withdraw(given) is False, "nobody was told that it is short"
    assert (session.free, rooms.used) == (1000, 0)


def test_one_job_always_goes_however_large() -> None:
    session = session_of(Rooms(RoomBounds(session=CLAIM // 2, claim=CLAIM)), "shop")
    assert session.free == 1000
    fill(session, 10_000)
    assert session.free == 0


def test_claims_under_way_of_several_queues_count(rooms: Rooms) -> None:
    session = session_of(rooms, "shop")
    for _ in range(4):
        assert session.free
        session.reserve(1)
    assert not session.free
    session.owes_a_look = True
    assert session.unreserve(1), "the queue that got nothing looks again"
    assert not session.unreserve(1), "and is told once"


def test_a_principal_has_its_own_bound(rooms: Rooms) -> None:
    sessions = [session_of(rooms, "mallory") for _ in range(4)]
    given = [fill(session, 310_000) for session in sessions[:3]]
    assert not sessions[3].has_room
    assert session_of(rooms, "shop").has_room
    sessions[0].withdraw(given[0])
    assert sessions[3].has_room


def test_the_server_has_one_too(rooms: Rooms) -> None:
    mallory, eve = session_of(rooms, "mallory"), session_of(rooms, "eve")
    fill(mallory, 850_000)
    given = fill(eve, 600_000)
    shop = session_of(rooms, "shop")
    assert not shop.has_room
    eve.withdraw(given)
    assert shop.has_room


def test_without_tokens_all_sessions_share_one_bound(rooms: Rooms) -> None:
    session = session_of(rooms, ANYONE.name)
    fill(session_of(rooms, ANYONE.name), 1_200_000)
    assert session.has_room
    fill(session_of(rooms, ANYONE.name), 300_000)
    assert not session.has_room


def test_queues_that_wait_for_room_look_again_in_turn(rooms: Rooms) -> None:
    full = session_of(rooms, "shop")
    given = [fill(full, 50_000) for _ in range(20)]
    woken: list[str] = []
    for i in range(12):
        full.room.await_room(f"q{i}", lambda i=i: woken.append(f"q{i}"))  # type: ignore[misc]
    full.withdraw(given.pop())
    assert woken == [], "what a claim may bring has no room yet"
    full.withdraw(given.pop())
    assert woken == [f"q{i}" for i in range(8)]
    full.withdraw(given.pop())
    assert len(woken) == 12
    full.withdraw(given.pop())
    assert len(woken) == 12


def test_a_queue_whose_dispatcher_was_replaced_wakes_the_new_one(rooms: Rooms) -> None:
    room, woken = rooms.of("shop"), list[str]()
    room.hold(1_000_000)
    room.await_room("a", lambda: woken.append("former"))
    room.await_room("a", lambda: woken.append("new"))
    room.let_go(1_000_000)
    assert woken == ["new"]


def test_a_server_that_is_full_wakes_each_principal(rooms: Rooms) -> None:
    mallory, shop = session_of(rooms, "mallory"), session_of(rooms, "shop")
    given = [fill(mallory, 750_000), fill(mallory, 750_000)]
    woken: list[str] = []
    mallory.room.await_room("a", lambda: woken.append("mallory"))
    shop.room.await_room("b", lambda: woken.append("shop"))
    mallory.withdraw(given[0])
    assert sorted(woken) == ["mallory", "shop"]


def test_an_operator_is_told_why_claims_wait(rooms: Rooms) -> None:
    mallory = session_of(rooms, "mallory")
    with capture_logs() as said:
        for _ in range(10):  # claims under way, and no reader is slow
            mallory.room.reserve()
        mallory.room.await_room("a", lambda: None)
        for _ in range(10):
            mallory.room.unreserve()
        assert said == []
        fill(mallory, 950_000)
        for queue in ("b", "c"):
            mallory.room.await_room(queue, lambda: None)
    (event,) = said
    assert (event["event"], event["principal"]) == ("claims_wait_for_slow_readers", "mallory")
    assert event["option"] == "--principal-bytes-max"
