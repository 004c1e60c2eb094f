"""Answers together those who ask for new names over a quota: a storm of refusals costs the store a few calls."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

from relay_server.errors import QuotaExceeded

# While an owner's quota is full, its callers are answered together, once a round. A caller that waits for each answer
# also asks less often.
ROUND_S = 0.1
REMEMBERED_S = 1.0

Refused = Mapping[str, QuotaExceeded]


class Refusals:
    """Whose quota was full of late. `ask` says which of some names that owner may not make."""

    def __init__(
        self,
        ask: Callable[[str, set[str]], Awaitable[Refused]],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask = ask
        self._clock = clock
        self._full_until: dict[str, float] = {}  # there are as many owners as principals
        self._queues: dict[str, set[str]] = {}
        self._rounds: dict[str, asyncio.Future[Refused]] = {}

    def note(self, owner: str) -> None:
        """The owner's quota is full."""
        self._full_until[owner] = self._clock() + REMEMBERED_S

    async def check(self, queue: str, owner: str) -> None:
        """Returns at once unless the owner's quota was full a moment ago. Raises QuotaExceeded when it still is and
        nobody knows the queue."""
        until = self._full_until.get(owner)
        if until is None:
            return
        if self._clock() >= until:
            del self._full_until[owner]
            return
        answer = self._rounds.get(owner)
        if answer is None:
            self._queues[owner] = set()
            answer = self._rounds[owner] = asyncio.ensure_future(self._round(owner))
            answer.add_done_callback(_mark_seen)
        self._queues[owner].add(queue)
        refused = (await asyncio.shield(answer)).get(queue)
        if refused is not None:  # one error for all would gather the traces of all
            raise QuotaExceeded(str(refused), metadata=refused.metadata)

    async def _round(self, owner: str) -> Refused:
        await asyncio.sleep(ROUND_S)
        del self._rounds[owner]
        return await self._ask(owner, self._queues.pop(owner))


def _mark_seen(answer: "asyncio.Future[Refused]") -> None:
    if not answer.cancelled():
        answer.exception()  # marks it as seen, if every caller was cancelled
