"""What servers do by themselves: care for leases whose worker is gone, and the loops."""

from collections.abc import Callable, Coroutine
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from relay_server.engine import keys
from tests.stateful.draws import picks, rarely, some
from tests.stateful.machine.steps import Steps
from tests.stateful.world import QUEUE, SERVERS


class Servers(Steps):
    """What servers do unasked."""

    @precondition(lambda self: self.world.runners[0].nonces or self.world.runners[1].nonces)
    @rule(server=st.integers(0, 1), owner=st.integers(0, 1), number=picks)
    def hand_back_claim(self, server: int, owner: int, number: int) -> None:
        nonces = self.world.runners[owner].nonces or self.world.runners[1 - owner].nonces
        nonce = self.pick(nonces, number)
        runner = self.world.runners[server]
        word, n = self.model_and(
            runner.run("hand_back_claim", keys.queue_keys(QUEUE), [SERVERS[server], nonce]),
            lambda: self.model.hand_back_claim(SERVERS[server], nonce),
        )
        assert word in ("OK", "NONE")
        assert n >= 0

    def model_and(
        self, act: Coroutine[Any, Any, list[bytes]], expect: Callable[[], tuple[str, int]]
    ) -> tuple[str, int]:
        async def answer() -> tuple[str, int]:
            word, n = await act
            return word.decode(), int(n)

        return self.step(answer(), expect)

    @precondition(lambda self: self.leases)
    @rule(numbers=some, crossed=rarely)
    def hand_back(self, numbers: list[int], crossed: bool) -> None:
        leases = self.picked_leases(numbers, crossed)
        self.step(self.transitions().hand_back(QUEUE, leases), lambda: self.model.hand_back(leases))

    @precondition(lambda self: self.leases)
    @rule(numbers=some, crossed=rarely, since=st.sampled_from((0, -1, 1, -1000)), of_now=st.booleans())
    def abandon(self, numbers: list[int], crossed: bool, since: int, of_now: bool) -> None:
        leases = self.picked_leases(numbers, crossed)
        job = self.model.jobs.get(leases[0].id)
        since += self.model.now if of_now or job is None else job.record.extended_ms
        self.step(
            self.transitions().abandon(QUEUE, leases, since_ms=since),
            lambda: self.model.abandon(leases, since),
        )

    @precondition(lambda self: self.leases)
    @rule(numbers=some, crossed=rarely)
    def held(self, numbers: list[int], crossed: bool) -> None:
        leases = self.picked_leases(numbers, crossed)
        self.step(self.transitions().held(QUEUE, leases), lambda: (self.model.now, self.model.held(leases)))

    # With a limit of 1 it is a look, which leaves the scan after a step of the clock to others.
    @rule(limit=st.sampled_from((2, 3, 500)), lose=rarely)
    def reap(self, limit: int, lose: bool) -> None:
        self.ask(0, lose, lambda: self.transitions().reap(QUEUE, limit=limit), lambda: self.model.reap(limit))

    @rule(limit=st.sampled_from((1, 2, 500)), lose=rarely)
    def promote(self, limit: int, lose: bool) -> None:
        self.ask(
            0, lose, lambda: self.transitions().promote(QUEUE, limit=limit), lambda: self.model.promote(limit)
        )
