"""Which sessions get the slots of a claim, and what the claim reserves in their rooms until it is over."""

from dataclasses import dataclass

from relay_server.claims.grants import Grant, reserve, unreserve
from relay_server.claims.rooms import RoomBounds, Rooms
from relay_server.claims.session import Session, Terms
from relay_server.engine.batching import JOBS_MAX

CLAIM = 100


@dataclass(eq=False)
class Stream:
    session: Session

    def notify(self) -> None: ...

    def cancelled(self, queue: str, ids: set[bytes]) -> None: ...


def stream(rooms: Rooms, key: str, *, slots: int = 10, principal: str = "ann") -> Stream:
    terms = Terms(
        worker_id=key, client_version="1", queues={"q": 1}, max_in_flight=slots, lease_ms=30_000, grace_ms=0
    )
    session = Session(key, terms, principal, room=rooms.of(principal))
    session.reopen(terms, 0)
    return Stream(session)


def rooms_for(claims: int) -> Rooms:
    most = claims * CLAIM
    return Rooms(RoomBounds(session=most, principal=most, server=10 * most, claim=CLAIM))


def granted(streams: list[Stream], woken: list[str] | None = None) -> list[Grant]:
    wake = (woken if woken is not None else []).append
    return reserve("q", streams, wanting=lambda _: ["q"], wake=lambda: wake("q"))


def test_a_batch_is_shared_evenly_among_open_windows() -> None:
    rooms = rooms_for(10)
    grants = granted([stream(rooms, f"{n}", slots=JOBS_MAX) for n in range(4)])
    assert [group.jobs for _, group in grants] == [JOBS_MAX // 4] * 4
    assert {grant.subscriber.session.key for grant in grants} == {"0", "1", "2", "3"}
    assert len({group.token for _, group in grants}) == 4


def test_a_full_window_gets_no_slots() -> None:
    rooms = rooms_for(10)
    grants = granted([stream(rooms, "open"), stream(rooms, "full", slots=0)])
    assert [grant.subscriber.session.key for grant in grants] == ["open"]


def test_a_claim_reserves_one_reply_in_each_room_until_it_is_over() -> None:
    rooms = rooms_for(10)
    streams = [stream(rooms, "1"), stream(rooms, "2"), stream(rooms, "3", principal="bob")]
    grants = granted(streams)
    assert (rooms.of("ann").used, rooms.of("bob").used, rooms.used) == (CLAIM, CLAIM, 2 * CLAIM)
    assert [one.session.free for one in streams] == [0, 0, 0]
    assert unreserve(grants) == []
    assert rooms.used == 0
    assert [one.session.free for one in streams] == [10, 10, 10]


def test_a_session_that_had_no_room_looks_again_when_a_claim_is_over() -> None:
    woken: list[str] = []
    one = stream(rooms_for(1), "1", slots=20)
    first = granted([one])
    assert not granted([one], woken), "the claim under way may fill the room"
    assert not woken
    assert unreserve(first) == [one.session]
    assert woken == ["q"], "the room has space again"
