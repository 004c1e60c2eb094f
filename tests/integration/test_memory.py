"""What a server keeps of a stream is bounded by what the stream may hold, wherever its jobs are settled."""

import time
from collections.abc import Awaitable, Callable

from relay.v1 import queue_service_pb2 as pb
from tests.support.relay import WITHIN_S, Relay, eventually, new_queue, seconds, spec

Start = Callable[..., Awaitable[Relay]]
WINDOW = 10


async def test_settles_through_another_server_leave_nothing_behind(relay: Relay, another: Start) -> None:
    """A stream that is never silent sees no keep-alive: what was settled elsewhere must be forgotten all the same."""
    other, queue = await another(), new_queue()
    worker = await relay.claimer(queue, max_in_flight=WINDOW)
    (session,) = relay.app.sessions
    most = 0
    ends = time.monotonic() + WITHIN_S
    while session.tracked >= most:
        assert time.monotonic() < ends, f"{most} leases are kept of a stream that may hold {WINDOW}"
        most = session.tracked
        await relay.enqueue(queue, *(spec() for _ in range(WINDOW)))
        await worker.ack(*await worker.take(WINDOW), via=other)
    assert "keep_alive" not in worker.kinds()


async def test_a_job_that_came_back_is_not_cancelled_for_its_former_lease(
    relay: Relay, another: Start
) -> None:
    """Nacked through another server and claimed again by the same stream: only the old lease is lost."""
    other, queue = await another(), new_queue()
    worker = await relay.claimer(queue, max_in_flight=2)
    await relay.enqueue(queue)
    (held,) = await worker.take(1)
    entry = pb.NackedJob(
        queue=queue,
        job_id=held.id,
        lease_token=held.token,
        kind=pb.NACK_KIND_RETRY,
        after=seconds(0),
    )
    await other.queue.Nack(pb.NackRequest(jobs=[entry]))
    (again,) = await worker.take(1)
    assert again.id == held.id
    assert again.token != held.token
    (session,) = relay.app.sessions
    await worker.quiet()
    await eventually(lambda: session.tracked == 1, what="one lease left")
    await worker.quiet()
    assert "cancel" not in worker.kinds()
