"""A claim stream without a socket: the order of its frames, and which jobs return when it ends."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import pytest

from relay_server.claims.parcel import Parcel
from relay_server.claims.session import Session, Terms
from relay_server.claims.sessions import Sessions
from relay_server.claims.stream import ClaimStream
from relay_server.limits import FRAME_JOBS_MAX
from relay_server.model import ClaimedJob
from relay_server.words import LeaseWord
from tests.support.waiting import eventually

Frame = tuple[str, Any]


class Frames:
    """Frames as pairs of a name and a value; jobs whose body is empty cannot be read."""

    def started(self, name: str, session: Session, *, keep_alive_s: float) -> Frame:
        return "started", name

    def jobs(self, parcel: Parcel, left_ms: int) -> tuple[Frame, list[ClaimedJob]]:
        good = [job.id for job in parcel.jobs if job.body]
        return ("jobs", good), [job for job in parcel.jobs if not job.body]

    def cancelled(self, jobs: Iterable[tuple[str, bytes, LeaseWord]]) -> Frame:
        return "cancel", sorted(jobs)

    def keep_alive(self, unsettled: int) -> Frame:
        return "keep_alive", unsettled

    def drain(self) -> Frame:
        return "drain", None


class Streams:
    def __init__(self) -> None:
        self.handed_back: list[bytes] = []
        self.aside: list[bytes] = []

    def hand_back(self, session: Session, parcel: Parcel) -> None:
        session.withdraw(parcel)
        self.handed_back += [job.id for job in parcel.jobs]

    def set_aside(self, session: Session, parcel: Parcel) -> None:
        self.aside += [job.id for job in parcel.jobs]

    def check_leases(self, stream: ClaimStream) -> None: ...

    def reads_again(self, session: Session) -> None: ...


class Line:
    """A stream that writes into a list; `stuck` keeps the client from reading."""

    def __init__(self) -> None:
        terms = Terms(
            worker_id="w",
            client_version="",
            queues={"q": 1},
            max_in_flight=1000,
            lease_ms=10_000,
            grace_ms=0,
        )
        self.session = Sessions("server").open("", "anyone", terms, 0)
        self.streams = Streams()
        self.written: list[Frame] = []
        self.reads = asyncio.Event()
        self.reads.set()
        self.writing = asyncio.Event()
        self.stream = self._open()

    def _open(self) -> ClaimStream:
        return ClaimStream(
            self.session, Frames(), self._write, self.streams, keep_alive_s=60.0, age_max_s=3600.0
        )

    async def _write(self, frame: Frame) -> None:
        self.writing.set()
        await self.reads.wait()
        self.written.append(frame)

    def give(self, n: int, *, waited_s: float = 0.0, unreadable: Sequence[int] = ()) -> Parcel:
        jobs = [ClaimedJob(os.urandom(16), 1, 1, 1, 0, b"" if i in unreadable else b"body") for i in range(n)]
        parcel = Parcel("q", os.urandom(16), 10_000, time.monotonic() - waited_s, jobs)
        self.session.accept(parcel)
        self.stream.notify()
        return parcel

    async def serve(self, act: Callable[[], Awaitable[None]]) -> None:
        """Serves the stream while `act` runs, and then until it is drained."""
        serving = asyncio.create_task(self.stream.serve())
        await act()
        self.stream.drain()
        await asyncio.wait_for(serving, 10)


@pytest.fixture
async def line() -> Line:
    return Line()


def ids(parcel: Parcel) -> list[bytes]:
    return [job.id for job in parcel.jobs]


async def test_jobs_go_in_the_order_of_their_claims_and_in_frames_of_a_bounded_size(line: Line) -> None:
    first, second = ids(line.give(FRAME_JOBS_MAX + 1)), ids(line.give(2))

    async def all_written() -> None:
        await eventually(lambda: len(line.written) == 3, what="three frames")

    await line.serve(all_written)
    assert line.written == [
        ("jobs", first[:FRAME_JOBS_MAX]),
        ("jobs", first[FRAME_JOBS_MAX:]),
        ("jobs", second),
        ("drain", None),
    ]
    assert not line.streams.handed_back


async def test_a_cancel_overtakes_jobs_that_wait(line: Line) -> None:
    waiting = ids(line.give(1))
    line.stream.cancelled("q", {b"c" * 16})

    async def both_written() -> None:
        await eventually(lambda: len(line.written) == 2, what="two frames")

    await line.serve(both_written)
    assert line.written[:2] == [("cancel", [("q", b"c" * 16, LeaseWord.CANCELLED)]), ("jobs", waiting)]


async def test_a_cancel_named_twice_is_written_once(line: Line) -> None:
    line.stream.cancelled("q", {b"c" * 16})
    line.stream.cancelled("q", {b"c" * 16})

    async def written() -> None:
        await eventually(lambda: bool(line.written), what="a frame")

    await line.serve(written)
    assert [name for name, _ in line.written] == ["cancel", "drain"]


async def test_a_parcel_whose_lease_is_half_over_goes_back(line: Line) -> None:
    late, fresh = ids(line.give(2, waited_s=6.0)), ids(line.give(1))

    async def written() -> None:
        await eventually(lambda: bool(line.written), what="a frame")

    await line.serve(written)
    assert line.streams.handed_back == late
    assert line.written[0] == ("jobs", fresh)


async def test_unreadable_jobs_are_set_aside_and_the_others_go(line: Line) -> None:
    given = ids(line.give(3, unreadable=[1]))

    async def written() -> None:
        await eventually(lambda: bool(line.written), what="a frame")

    await line.serve(written)
    assert line.streams.aside == [given[1]]
    assert line.written[0] == ("jobs", [given[0], given[2]])


async def test_a_parcel_without_a_readable_job_makes_no_frame(line: Line) -> None:
    line.give(1, unreadable=[0])

    async def aside() -> None:
        await eventually(lambda: bool(line.streams.aside), what="a job set aside")

    await line.serve(aside)
    assert line.written == [("drain", None)]


async def test_i15_a_drain_hands_back_jobs_that_wait_and_lets_the_frame_under_way_arrive(line: Line) -> None:
    line.reads.clear()
    under_way = ids(line.give(1))

    async def drained_while_one_is_written() -> None:
        await asyncio.wait_for(line.writing.wait(), 10)
        waiting = ids(line.give(2))
        line.stream.drain()
        assert line.streams.handed_back == waiting
        line.reads.set()

    await line.serve(drained_while_one_is_written)
    assert line.written == [("jobs", under_way), ("drain", None)]
    assert not line.session.in_doubt


async def test_a_frame_that_is_cut_off_stays_in_doubt_and_jobs_behind_it_return(line: Line) -> None:
    line.reads.clear()
    under_way = line.give(1)
    lease = under_way.leases()
    serving = asyncio.create_task(line.stream.serve())
    await asyncio.wait_for(line.writing.wait(), 10)
    waiting = ids(line.give(2))
    line.stream.end()
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)
    assert [sent.leases for sent in line.session.in_doubt] == [lease]
    assert line.streams.handed_back == waiting
    assert not line.written


async def test_a_superseded_stream_ends_without_a_drain(line: Line) -> None:
    serving = asyncio.create_task(line.stream.serve())
    line.stream.supersede()
    await asyncio.wait_for(serving, 10)
    assert not line.written
