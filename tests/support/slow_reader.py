"""A worker that does not read what it is sent."""

from collections.abc import Awaitable, Callable

from relay_server.model import QueueSnapshot
from tests.support.relay import Claimer, Relay, eventually, spec

PAYLOAD = b"x" * 200_000
_BATCH = 10


async def slow_reader(
    relay: Relay, queue: str, jobs: int, *, stats: Callable[[str], Awaitable[QueueSnapshot]] | None = None
) -> Claimer:
    """A claimer that does not read, with more claimed for it (200 kB a job) than its connection takes.

    `stats` looks at the queue; without it the server, which is then in this process, is asked.
    """
    look = stats or relay.stats
    claimer = await relay.claimer(queue, max_in_flight=jobs, lease=30, reading=False)
    for _ in range(0, jobs, _BATCH):
        await relay.enqueue(queue, *(spec(PAYLOAD) for _ in range(_BATCH)))

    async def all_claimed() -> bool:
        return (await look(queue)).inflight == jobs

    await eventually(lambda: all_claimed(), what=f"{jobs} claimed jobs")
    return claimer
