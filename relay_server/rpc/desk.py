"""The desk of the operators' services, which AdminService and DeadLetterService share: queues, turns, bulk work."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from relay_server.engine.bulk import Bulk, Pace
from relay_server.engine.names import Names
from relay_server.engine.operations import Operations
from relay_server.engine.turns import CallerTurns, Steps, Turns
from relay_server.rpc.validate import Checks
from relay_server.security.principals import caller


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Set `draining`, and bulk work under way ends with Draining."""

    ops: Operations
    names: Names
    turns: Turns
    draining: asyncio.Event

    async def known(self, name: str) -> str:
        """The queue of a request that has nothing else to check. Raises InvalidField and QueueNotFound."""
        checks = Checks()
        queue = checks.queue(name)
        checks.done()
        await self.names.check_known(queue)
        return queue

    def caller_turns(self) -> CallerTurns:
        """The caller's turns for scripts."""
        return self.turns.of(caller.get().name)

    @asynccontextmanager
    async def page(self) -> AsyncIterator[CallerTurns]:
        """The caller's turns, for a page: one at a time."""
        turns = self.caller_turns()
        async with turns.page():
            yield turns

    def pace(self) -> Pace:
        """How often an operation under way sends a message."""
        return Pace(self.draining)

    def bulk(self, queue: str, *, dry_run: bool) -> Bulk:
        """An operation of the caller on many jobs."""
        return Bulk(self.ops, queue, steps=Steps(self.caller_turns()), pace=self.pace(), dry_run=dry_run)
