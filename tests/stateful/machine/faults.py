"""Time, and what goes wrong: damaged records, full memory, killed servers."""

from collections.abc import Callable

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from relay_server.words import State
from tests.stateful.compare import ends
from tests.stateful.draws import DAMAGE, STEPS_MS, picks
from tests.stateful.machine.steps import Steps
from tests.stateful.world import SERVERS

TIMED = (State.DELAYED, State.INFLIGHT)


class Faults(Steps):
    """What nobody asked for."""

    @rule(ms=st.sampled_from(STEPS_MS))
    def advance(self, ms: int) -> None:
        self._advance(ms)

    @rule(ms=st.sampled_from((9_999, 10_001, 31_000, 3_600_000)))
    def no_server(self, ms: int) -> None:
        """Nobody looks at the queue, nor extends a lease, for this long."""
        self._advance(ms, looked=False)

    @precondition(lambda self: any(job.state in TIMED for job in self.model.jobs.values()))
    @rule(number=picks, off=st.sampled_from((-1, 0, 0, 1)))
    def advance_to(self, number: int, off: int) -> None:
        """To the end of a lease or delay, give or take a millisecond."""
        times = sorted({int(job.at) for job in self.model.jobs.values() if job.state in TIMED}, reverse=True)
        self._advance(self.pick(times, number) + off - self.model.now)

    def _advance(self, ms: int, *, looked: bool = True) -> None:
        before = ends(self.model)
        self.model.advance(ms)
        self.world.now = self.model.now
        if looked:
            self.model.looked()
            self.world.set_clock(self.model.conf.get("clock"))
        for key, until in before.items():
            self.world.set_ttl(key, until - self.model.now)
        self.padded = {key: until for key, until in before.items() if until - self.model.now > 0}

    @precondition(lambda self: not self.full and self.model.jobs.keys() - self.model.unreadable)
    @rule(number=picks, how=st.sampled_from(DAMAGE))
    def damage(self, number: int, how: Callable[[bytes], bytes]) -> None:
        """A record becomes what no version writes. Nothing else may ever suffer from it."""
        readable = [i for i in self.ids if i in self.model.jobs and i not in self.model.unreadable]
        job_id = self.pick(readable, number)
        self.world.damage(job_id, how)
        self.model.damage(job_id)
        self.picture = self.world.picture()
        self.check()

    @rule()
    def flush_scripts(self) -> None:
        self.world.flush_scripts()

    @rule(full=st.booleans())
    def fill_memory(self, full: bool) -> None:
        if full != self.full:
            self.full = full
            self.world.set_full(full)

    @rule(server=st.integers(0, 1))
    def replace_server(self, server: int) -> None:
        """Another process under the same name; it knows of no claim that was lost."""
        self.world.start_engine(server)
        self.lost.pop(SERVERS[server], None)

    @rule()
    def restart_redis(self) -> None:
        self.world.restart()
        self.world.set_full(self.full)
        self.picture = self.world.picture()
        self.check()
