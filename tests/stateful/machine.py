"""The state machine: whatever producers, workers, loops, operators and faults may do, to engine and model alike.

After every step the reply, a picture of all that Redis holds, every time to live and the audit must be what the model
says: I1, I2, I3, I13 by the picture; I4 to I12, I14 and I17 because the model keeps them; I10 because lost replies are
asked for again. Full jitter is the one choice that the model does not make: the engine's delay must lie within
[0, bound] and is taken over.
"""

import asyncio
import hashlib
from collections.abc import Callable, Collection, Coroutine
from typing import Any, ClassVar, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from relay_server import errors
from relay_server.engine import Operations, Transitions, keys, record
from relay_server.engine.scripts import Script
from relay_server.model import (
    ClaimGroup,
    Enqueued,
    Extension,
    Lease,
    NackedJob,
    NackWord,
    NewJob,
    State,
)
from tests.stateful.compare import compare, ends
from tests.stateful.contents import DELAY, NOW, RUN_AT, Spec
from tests.stateful.draws import DAMAGE, LEASES_MS, SETTINGS, STEPS_MS, jobs, picks, rarely, some
from tests.stateful.model import Model
from tests.stateful.world import QUEUE, SERVERS, START_MS, Divergence, World

T = TypeVar("T")

BODY_BYTES_MAX = 1000  # what a claim may carry here; the product's 1 MiB would only make slower bodies
TIMED = (State.DELAYED, State.INFLIGHT)


class Machine(RuleBasedStateMachine):
    """Engine and model side by side. Subclasses set `world`, and may set the rest or drop rules."""

    world: ClassVar[World]
    scripts: ClassVar[dict[str, Script] | None] = None
    start: ClassVar[tuple[dict[str, Any], ...]] = ()
    conf: ClassVar[dict[str, float]] = {}

    def __init__(self) -> None:
        super().__init__()
        self.world.reset(self.scripts)
        self.model = Model(START_MS, backoff=self._observed_backoff)
        self.padded: dict[bytes, int] = {}
        self.ids: list[bytes] = []
        self.leases: list[Lease] = []
        self.requests: list[tuple[bytes, list[Spec]]] = []
        self.lost: dict[str, bytes] = {}
        self.full = False
        self.minted = 0

    # --- one step

    def step(self, act: Coroutine[Any, Any, T], expect: Callable[[], object]) -> T:
        """Does it to both; the reply and everything that Redis holds must be what the model says."""
        reply = self.world.await_(act)
        self.picture = self.world.picture()
        expected = expect()
        if reply != expected:
            raise Divergence(f"the engine answers\n  {reply}\nand the model\n  {expected}")
        self.check()
        return reply

    def lose(self, server: int, act: Coroutine[Any, Any, object], apply: Callable[[], object]) -> None:
        """The script runs and its reply is lost, so the caller knows nothing."""
        runner = self.world.runners[server]
        runner.lose_next = True
        try:
            self.world.await_(act)
        except errors.StoreUnavailable:
            pass
        else:
            raise Divergence("a lost reply was not noticed")
        finally:
            runner.lose_next = False
        self.picture = self.world.picture()
        apply()
        self.check()

    def ask(
        self,
        server: int,
        lose: bool,
        act: Callable[[], Coroutine[Any, Any, T]],
        expect: Callable[[], object],
    ) -> T:
        """Asks once, or once without hearing the reply and then again."""
        if lose:
            self.lose(server, act(), expect)
        return self.step(act(), expect)

    def check(self) -> None:
        compare(self.model, self.picture, self.padded)
        self.world.audit(self.model.unreadable, self.model.aside)

    def _observed_backoff(self, job_id: bytes, bound: int) -> int:
        job = self.picture.jobs.get(job_id)
        delay = int(job.at) - self.model.now if job and job.state is State.DELAYED else 0
        if not 0 <= delay <= bound:
            raise Divergence(f"a backoff of {delay} ms, where at most {bound} is allowed")
        return delay

    # --- what rules share

    def mint(self, kind: str) -> bytes:
        self.minted += 1
        return hashlib.md5(f"{kind}{self.minted}".encode()).digest()

    def transitions(self, server: int = 0) -> Transitions:
        return self.world.engines[server].transitions

    @property
    def operations(self) -> Operations:
        return self.world.engines[0].operations

    def specs(self, drawn: list[dict[str, Any]]) -> list[Spec]:
        made = []
        for draw in drawn:
            kind, ms = draw.get("placing", (NOW, 0))
            first, longest, multiplier = draw.get("backoff", (1000, 600_000, 2.0))
            expires_in = draw.get("expires_in_ms", 0)
            given = {name: draw[name] for name in draw.keys() & set(Spec._fields)}
            made.append(
                Spec(
                    **{"window_ms": 60_000} | given, id=self.mint("job"), kind=kind,
                    ms=ms + self.model.now if kind == RUN_AT else ms, initial_backoff_ms=first,
                    max_backoff_ms=longest, multiplier=multiplier,
                    expires_ms=self.model.now + expires_in if expires_in else 0,
                )
            )  # fmt: skip
        self.ids += [spec.id for spec in made]
        return made

    def pick(self, sequence: list[T], number: int) -> T:
        return sequence[-1 - number % len(sequence)]

    def picked_leases(self, numbers: list[int], crossed: bool) -> list[Lease]:
        """Leases ever seen; `crossed` gives one the token of another job, or one that nobody was given."""
        leases = [self.pick(self.leases, number) for number in numbers]
        if crossed:
            other = self.pick(self.leases, numbers[0] + 1).token
            leases[0] = Lease(leases[0].id, other if other != leases[0].token else self.mint("forged"))
        return leases

    def asked(self, server: int, lose: bool, request: tuple[bytes, list[Spec]]) -> list[Enqueued] | None:
        request_id, specs = request
        new = [_new_job(spec) for spec in specs]
        if self.full:
            try:
                self.world.await_(self.transitions(server).enqueue(QUEUE, new, request_id=request_id))
            except errors.StoreOutOfMemory:
                self.picture = self.world.picture()
                self.check()
                return None
            raise Divergence("a full Redis took a job")
        return self.ask(
            server,
            lose,
            lambda: self.transitions(server).enqueue(QUEUE, new, request_id=request_id),
            lambda: self.model.enqueue(request_id, specs),
        )

    @initialize()
    def begin(self) -> None:
        if self.conf:
            self.step(self.operations.configure(QUEUE, self.conf), lambda: self.model.configure(self.conf))
        if self.start:
            self.asked(0, False, (b"", self.specs(list(self.start))))

    # --- producers

    @rule(drawn=st.lists(jobs, min_size=1, max_size=3), named=st.booleans(), lose=rarely)
    def enqueue(self, drawn: list[dict[str, Any]], named: bool, lose: bool) -> None:
        request = (self.mint("request") if named else b"", self.specs(drawn))
        self.requests.append(request)
        self.asked(0, lose, request)

    @rule(n=st.sampled_from((1, 2, 5)))
    def enqueue_plain(self, n: int) -> None:
        self.asked(0, False, (b"", self.specs([{}] * n)))

    @precondition(lambda self: self.requests)
    @rule(number=picks, longer=rarely, server=st.integers(0, 1))
    def enqueue_again(self, number: int, longer: bool, server: int) -> None:
        request_id, specs = self.pick(self.requests, number)
        self.asked(server, False, (request_id, [*specs, *self.specs([{}])] if longer else specs))

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
                    self.transitions().enqueue(QUEUE, [_new_job(s) for s in specs], request_id=i)
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
        self.asked(0, False, (b"", self.specs([draw] * 101)))

    # --- workers

    @rule(
        server=st.integers(0, 1),
        windows=st.lists(st.tuples(st.integers(1, 3), st.sampled_from(LEASES_MS)), min_size=1, max_size=2),
        lose=rarely,
    )
    def claim(self, server: int, windows: list[tuple[int, int]], lose: bool) -> None:
        groups = [ClaimGroup(self.mint("token"), lease, n, f"w{i}") for i, (n, lease) in enumerate(windows)]
        act = self.transitions(server).claim(QUEUE, groups)
        name = SERVERS[server]
        if lose and name in self.lost:  # a claim first takes the lost one back: that reply is lost now
            self.lose(server, act, lambda: self.model.unclaim(name, self.lost[name]))
        elif lose:
            self.lose(server, act, lambda: self._model_claim(server, groups))
            self.lost[name] = self.world.runners[server].nonces[-1]
        else:
            self.step(act, lambda: self._model_claim(server, groups))
            self.lost.pop(name, None)
        # The test knows even the tokens that no worker heard of.
        for group in groups:
            held = [
                i for i, job in self.picture.jobs.items() if job.record and job.record.token == group.token
            ]
            self.leases += [Lease(i, group.token) for i in sorted(held)]

    def _model_claim(self, server: int, groups: list[ClaimGroup]) -> object:
        name = SERVERS[server]
        if name in self.lost:
            self.model.unclaim(name, self.lost[name])
        nonce = self.world.runners[server].nonces[-1]
        return self.model.claim(name, nonce, groups, BODY_BYTES_MAX)

    @precondition(lambda self: self.world.runners[0].nonces or self.world.runners[1].nonces)
    @rule(server=st.integers(0, 1), owner=st.integers(0, 1), number=picks)
    def unclaim(self, server: int, owner: int, number: int) -> None:
        nonces = self.world.runners[owner].nonces or self.world.runners[1 - owner].nonces
        nonce = self.pick(nonces, number)
        runner = self.world.runners[server]
        word, n = self.model_and(
            runner.run("unclaim", keys.queue_keys(QUEUE), [SERVERS[server], nonce]),
            lambda: self.model.unclaim(SERVERS[server], nonce),
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
    @rule(numbers=some, crossed=rarely, lose=rarely)
    def ack(self, numbers: list[int], crossed: bool, lose: bool) -> None:
        leases = self.picked_leases(numbers, crossed)
        self.ask(0, lose, lambda: self.transitions().ack(QUEUE, leases), lambda: self.model.ack(leases))

    @precondition(lambda self: self.leases)
    @rule(
        numbers=some,
        kinds=st.lists(st.sampled_from(list(NackWord)), min_size=3, max_size=3),
        after=st.sampled_from((-1, 0, 1, 30_000)),
        crossed=rarely,
        lose=rarely,
        error_bytes=st.sampled_from((0, 4, 8000)),
    )
    def nack(
        self,
        numbers: list[int],
        kinds: list[NackWord],
        after: int,
        crossed: bool,
        lose: bool,
        error_bytes: int,
    ) -> None:
        leases = self.picked_leases(numbers, crossed)
        nacks = [
            NackedJob(*lease, kind, after, "E", b"e" * error_bytes)
            for lease, kind in zip(leases, kinds, strict=False)
        ]
        self.ask(0, lose, lambda: self.transitions().nack(QUEUE, nacks), lambda: self.model.nack(nacks))

    @precondition(lambda self: self.leases)
    @rule(numbers=some)
    def retry(self, numbers: list[int]) -> None:
        """The common case: an attempt failed, and the job's own backoff says when to go on."""
        nacks = [
            NackedJob(*held, NackWord.RETRY, -1, "E", b"") for held in self.picked_leases(numbers, False)
        ]
        self.step(self.transitions().nack(QUEUE, nacks), lambda: self.model.nack(nacks))

    @precondition(lambda self: self.leases)
    @rule(
        numbers=some,
        lease=st.sampled_from((0, 0, *LEASES_MS)),
        news=st.sampled_from(((-1.0, ""), (0.25, "a quarter"))),
        crossed=rarely,
        lose=rarely,
    )
    def extend(
        self, numbers: list[int], lease: int, news: tuple[float, str], crossed: bool, lose: bool
    ) -> None:
        extensions = [Extension(*held, *news) for held in self.picked_leases(numbers, crossed)]
        self.ask(
            0,
            lose,
            lambda: self.transitions().extend(QUEUE, extensions, lease_ms=lease),
            lambda: self.model.extend(extensions, lease),
        )

    # --- the server's own care for leases

    @precondition(lambda self: self.leases)
    @rule(numbers=some, crossed=rarely)
    def release(self, numbers: list[int], crossed: bool) -> None:
        leases = self.picked_leases(numbers, crossed)
        self.step(self.transitions().release(QUEUE, leases), lambda: self.model.release(leases))

    @precondition(lambda self: self.leases)
    @rule(numbers=some, crossed=rarely, since=st.sampled_from((0, -1, 1, -1000)), of_now=st.booleans())
    def abandon(self, numbers: list[int], crossed: bool, since: int, of_now: bool) -> None:
        leases = self.picked_leases(numbers, crossed)
        job = self.model.jobs.get(leases[0].id)
        since += self.model.now if of_now or job is None else job.record.renewed_ms
        self.step(
            self.transitions().abandon(QUEUE, leases, since_ms=since),
            lambda: self.model.abandon(leases, since),
        )

    @precondition(lambda self: self.leases)
    @rule(numbers=some, crossed=rarely)
    def held(self, numbers: list[int], crossed: bool) -> None:
        leases = self.picked_leases(numbers, crossed)
        self.step(self.transitions().held(QUEUE, leases), lambda: (self.model.now, self.model.held(leases)))

    # --- loops

    # With a limit of 1 it is a look, which leaves the scan after a step of the clock to others.
    @rule(limit=st.sampled_from((2, 3, 500)), lose=rarely)
    def reap(self, limit: int, lose: bool) -> None:
        self.ask(0, lose, lambda: self.transitions().reap(QUEUE, limit=limit), lambda: self.model.reap(limit))

    @rule(limit=st.sampled_from((1, 2, 500)), lose=rarely)
    def promote(self, limit: int, lose: bool) -> None:
        self.ask(
            0, lose, lambda: self.transitions().promote(QUEUE, limit=limit), lambda: self.model.promote(limit)
        )

    # --- operators

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

    # --- time and faults

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


def _new_job(spec: Spec) -> NewJob:
    return record.new_job(
        spec.id,
        "t",
        spec.body,
        start=record.Start(spec.kind, spec.ms),
        priority=spec.priority,
        retry=record.Retry(spec.max_attempts, spec.initial_backoff_ms, spec.max_backoff_ms, spec.multiplier),
        max_runtime_ms=spec.max_runtime_ms,
        expires_ms=spec.expires_ms,
        key=spec.key,
        window_ms=spec.window_ms,
        content_hash=spec.content,
    )


def narrowed(
    *, without: Collection[str] = (), only: Collection[str] = (), **attributes: object
) -> type[Machine]:
    """The same machine with fewer rules."""
    rules = {name for name, value in vars(Machine).items() if hasattr(value, "hypothesis_stateful_rule")}
    unknown = {*without, *only} - rules
    assert not unknown, f"no such rules: {unknown}"
    dropped = rules - set(only) if only else without
    return type("Narrowed", (Machine,), {**dict.fromkeys(dropped), **attributes})
