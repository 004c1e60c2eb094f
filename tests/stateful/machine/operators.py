"""Operators: dead letters, purges, cancels, and the settings of the queue."""

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from relay_server.words import State
from tests.stateful.draws import SETTINGS, picks, rarely, some
from tests.stateful.machine.steps import Steps
from tests.stateful.world import QUEUE


class Operators(Steps):
    """What operators do."""

    @precondition(lambda self: self.ids)
    @rule(numbers=some, until=st.sampled_from((0, 0, -1, -1001)), lose=rarely)
    def requeue(self, numbers: list[int], until: int, lose: bool) -> None:
        ids = [*self._dead(), *(self.pick(self.ids, n) for n in numbers)]
        cut = self.model.now + until
        self.ask(
            0,
            lose,
            lambda: self.operations.requeue(QUEUE, ids, died_until_ms=cut),
            lambda: self.model.requeue(ids, cut),
        )

    @precondition(lambda self: self.ids)
    @rule(numbers=some, until=st.sampled_from((0, -1, -1001)))
    def purge_dead(self, numbers: list[int], until: int) -> None:
        ids = [*self._dead(), *(self.pick(self.ids, n) for n in numbers)]
        cut = self.model.now + until
        self.step(
            self.operations.purge_dead(QUEUE, ids, died_until_ms=cut), lambda: self.model.purge_dead(ids, cut)
        )

    def _dead(self) -> list[bytes]:
        return sorted(i for i, job in self.model.jobs.items() if job.state is State.DEAD)[:2]

    @rule(limit=st.sampled_from((1, 2, 500)))
    def purge(self, limit: int) -> None:
        self.step(
            self.operations.purge(QUEUE, limit=limit), lambda: self.model.purge(limit, self.picture.aside)
        )

    @precondition(lambda self: self.ids)
    @rule(numbers=some, lose=rarely)
    def cancel(self, numbers: list[int], lose: bool) -> None:
        ids = [self.pick(self.ids, n) for n in numbers]
        self.ask(0, lose, lambda: self.operations.cancel(QUEUE, ids), lambda: self.model.cancel(ids))

    @precondition(lambda self: self.ids)
    @rule(number=picks)
    def run_now(self, number: int) -> None:
        job_id = self.pick(self.ids, number)
        self.step(self.operations.run_now(QUEUE, job_id), lambda: self.model.run_now(job_id))

    @rule()
    def pause(self) -> None:
        self.step(self.operations.pause(QUEUE), self.model.pause)

    @precondition(lambda self: "paused" in self.model.conf)
    @rule()
    def resume(self) -> None:
        self.step(self.operations.resume(QUEUE), self.model.resume)

    @rule(settings=st.sampled_from(SETTINGS))
    def configure(self, settings: dict[str, float]) -> None:
        self.step(self.operations.configure(QUEUE, settings), lambda: self.model.configure(settings))

    @rule()
    def forget(self) -> None:
        self.step(self.operations.forget(QUEUE), self.model.forget)
