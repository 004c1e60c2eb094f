"""A worker that a test drives step by step."""

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from relay.v1 import job_pb2 as jobs
from relay.v1 import queue_service_pb2 as pb
from tests.support.relay.values import Held, T, Window, lease_groups, seconds
from tests.support.waiting import WITHIN_S, eventually

if TYPE_CHECKING:
    from tests.support.relay.servers import Relay


class Claimer:
    """A Claim stream on raw stubs. It reads all the time unless `reading` is false, and settles when a test says so.

    `received` counts jobs of this stream. Its window reports are those of a well-behaved worker, unless a test sends
    other ones.
    """

    def __init__(self, relay: "Relay", request: pb.ClaimRequest, *, reading: bool = True) -> None:
        self.relay = relay
        self.request = request
        self.call = relay.queue.Claim(request)
        self.started = pb.Started()
        self.frames: list[pb.ClaimResponse] = []
        self.received = 0
        self.unsettled: dict[str, Held] = {}
        self.ended: BaseException | None = None
        self._fresh: list[Held] = []
        self._arrived = asyncio.Event()
        self._reading = reading
        self._reader: asyncio.Task[None] | None = None
        self.seq = 0

    async def open(self, *, seq: int = 0) -> "Claimer":
        """Waits for Started. `seq` goes on where an earlier stream of the session ended."""
        self.seq = seq
        frame = await asyncio.wait_for(self.call.read(), WITHIN_S)
        assert isinstance(frame, pb.ClaimResponse), await self.call.details()
        assert frame.WhichOneof("frame") == "started"
        self.started = frame.started
        if self._reading:
            self.read_on()
        return self

    def read_on(self) -> None:
        """Starts to read, for a claimer that did not."""
        self._reader = asyncio.create_task(self._read(), name="claimer")

    async def _read(self) -> None:
        try:
            while isinstance(frame := await self.call.read(), pb.ClaimResponse):
                self._note(frame)
            self.ended = StopAsyncIteration()
        except BaseException as error:  # noqa: BLE001 - kept for the test
            self.ended = error
        finally:
            self._arrived.set()

    def _note(self, frame: pb.ClaimResponse) -> None:
        self.frames.append(frame)
        if frame.WhichOneof("frame") == "jobs":
            held = [Held(frame.jobs.queue, frame.jobs.lease_token, job) for job in frame.jobs.jobs]
            self.received += len(held)
            self._fresh += held
            self.unsettled |= {one.id: one for one in held}
        self._arrived.set()

    async def _until(self, condition: Callable[[], T], within: float, what: str) -> T:
        ends = time.monotonic() + within
        while not (value := condition()):
            self._arrived.clear()
            if self.ended is not None:
                raise AssertionError(f"the stream ended before {what}") from self.ended
            try:
                await asyncio.wait_for(self._arrived.wait(), max(0.001, ends - time.monotonic()))
            except TimeoutError:
                raise AssertionError(f"{what} did not come within {within:g} s; {self.kinds()}") from None
        return value

    def kinds(self) -> list[str]:
        """What was read so far, by kind."""
        return [str(frame.WhichOneof("frame")) for frame in self.frames]

    async def take(self, n: int, *, within: float = WITHIN_S) -> list[Held]:
        """The next `n` jobs that no earlier call returned."""
        await self._until(lambda: len(self._fresh) >= n, within, f"{n} jobs (have {len(self._fresh)})")
        taken, self._fresh = self._fresh[:n], self._fresh[n:]
        return taken

    def rest(self) -> list[Held]:
        """The jobs that came and were not taken."""
        taken, self._fresh = self._fresh, []
        return taken

    async def frame(self, kind: str, *, within: float = WITHIN_S, after: int = 0) -> pb.ClaimResponse:
        """The first frame of this kind among those from number `after` on."""

        def find() -> pb.ClaimResponse | None:
            return next((one for one in self.frames[after:] if one.WhichOneof("frame") == kind), None)

        frame = await self._until(find, within, f"a {kind} frame")
        assert frame is not None
        return frame

    async def quiet(self) -> int:
        """Waits until nothing was sent for a keep-alive interval; returns the server's count of unsettled jobs."""
        frame = await self.frame("keep_alive", after=len(self.frames))
        return frame.keep_alive.unsettled

    async def end(self, *, within: float = WITHIN_S) -> BaseException:
        """Waits until the stream has ended; StopAsyncIteration when it ended well."""
        await eventually(lambda: self.ended is not None, within=within, what="the end of the stream")
        assert self.ended is not None
        return self.ended

    # --- settling

    def report(self, *, received: int | None = None, in_flight: int | None = None) -> pb.WindowReport:
        self.seq += 1
        return pb.WindowReport(
            session_id=self.started.session_id,
            received=self.received if received is None else received,
            in_flight=len(self.unsettled) if in_flight is None else in_flight,
            seq=self.seq,
            stream=self.started.stream,
        )

    def settled(self, held: Iterable[Held]) -> None:
        for one in held:
            self.unsettled.pop(one.id, None)

    async def ack(
        self, *held: Held, report: bool = True, via: "Relay | None" = None
    ) -> list["pb.LeaseOutcome.ValueType"]:
        """Acks, and restates the window unless `report` is false. `via` another server."""
        self.settled(held)
        request = pb.AckRequest(leases=lease_groups(held), window=self.report() if report else None)
        return list((await (via or self.relay).queue.Ack(request)).outcomes)

    async def nack(
        self,
        *held: Held,
        kind: "pb.NackKind.ValueType" = pb.NACK_KIND_RETRY,
        after: float | None = None,
        error: jobs.JobError | None = None,
        report: bool = True,
    ) -> list[pb.NackResult]:
        self.settled(held)
        entries = [
            pb.NackedJob(
                queue=one.queue,
                job_id=one.id,
                lease_token=one.token,
                kind=kind,
                after=None if after is None else seconds(after),
                error=error,
            )
            for one in held
        ]
        request = pb.NackRequest(jobs=entries, window=self.report() if report else None)
        return list((await self.relay.queue.Nack(request)).results)

    async def extend(self, *held: Held, lease: float | None = None, **fields: Any) -> list[pb.ExtendResult]:
        request = pb.ExtendRequest(
            leases=lease_groups(held), lease=None if lease is None else seconds(lease), **fields
        )
        return list((await self.relay.queue.Extend(request)).results)

    async def restate(self, *, via: "Relay | None" = None, window: Window = None) -> None:
        """Reports the window and nothing else."""
        await (via or self.relay).queue.Extend(pb.ExtendRequest(window=window or self.report()))

    async def close(self) -> None:
        """Cancels the stream, as a client that goes away does."""
        self.call.cancel()
        if self._reader is not None:
            await asyncio.wait({self._reader}, timeout=WITHIN_S)
