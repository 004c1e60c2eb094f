"""Producers: jobs, alone and together, and requests that are asked again."""

import asyncio
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from relay_server.model import Enqueued
from tests.stateful.contents import DELAY
from tests.stateful.draws import jobs, picks, rarely
from tests.stateful.machine.steps import Steps, new_job
from tests.stateful.world import QUEUE


class Producers(Steps):
    """What producers do."""

    @rule(drawn=st.lists(jobs, min_size=1, max_size=3), named=st.booleans(), lose=rarely)
    def enqueue(self, drawn: list[dict[str, Any]], named: bool, lose: bool) -> None:
        request = (self.mint("request") if named else b"", self.specs(drawn))
        self.requests.append(request)
        self.submit(0, lose, request)

    @rule(n=st.sampled_from((1, 2, 5)))
    def enqueue_plain(self, n: int) -> None:
        self.submit(0, False, (b"", self.specs([{}] * n)))

    @precondition(lambda self: self.requests)
    @rule(number=picks, longer=rarely, server=st.integers(0, 1))
    def enqueue_again(self, number: int, longer: bool, server: int) -> None:
        request_id, specs = self.pick(self.requests, number)
        self.submit(server, False, (request_id, [*specs, *self.specs([{}])] if longer else specs))

    @precondition(lambda self: not self.full)
    @rule(
        first=st.lists(jobs, min_size=1, max_size=2),
        second=st.lists(jobs, min_size=1, max_size=2),
        same=rarely,
    )
    def enqueue_together(self, first: list[dict[str, Any]], second: list[dict[str, Any]], same: bool) -> None:
        """Two callers in one script: each hears what it would have heard alone."""
        requests = [(self.mint("request"), self.specs(drawn)) for drawn in (first, second)]
        if same:
            requests[1] = requests[0]

        async def both() -> list[list[Enqueued]]:
            return await asyncio.gather(
                *(
                    self.transitions().enqueue(QUEUE, [new_job(s) for s in specs], request_id=i)
                    for i, specs in requests
                )
            )

        self.requests += requests
        self.step(both(), lambda: [self.model.enqueue(*request) for request in requests])

    @precondition(lambda self: not self.full and len(self.model.jobs) < 100)
    @rule(delay=st.sampled_from((0, 1000)), expires=st.booleans())
    def enqueue_many(self, delay: int, expires: bool) -> None:
        """More than a claim brings up to date at once."""
        draw: dict[str, Any] = {"placing": (DELAY, delay), **({"expires_in_ms": 1000} if expires else {})}
        self.submit(0, False, (b"", self.specs([draw] * 101)))
