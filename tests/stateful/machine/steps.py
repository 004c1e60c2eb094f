"""One step of engine and model, what must hold after it, and what rules choose from."""

import hashlib
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, TypeVar

from hypothesis.stateful import RuleBasedStateMachine, initialize

from relay_server import errors
from relay_server.engine import Operations, Transitions, record
from relay_server.engine.lua_script import Script
from relay_server.model import Enqueued, Lease, NewJob
from relay_server.words import State
from tests.stateful.compare import compare
from tests.stateful.contents import NOW, RUN_AT, Spec
from tests.stateful.model import Model
from tests.stateful.world import QUEUE, START_MS, Divergence, World

T = TypeVar("T")

BODY_BYTES_MAX = 1000  # what a claim may carry here; the product's 1 MiB would only make slower bodies


class Steps(RuleBasedStateMachine):
    """Engine and model side by side. Subclasses set `world`, may set the rest, and have the rules."""

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

    def mint(self, kind: str) -> bytes:
        self.minted += 1
        return hashlib.md5(f"{kind}{self.minted}".encode()).digest()

    def transitions(self, server: int = 0) -> Transitions:
        return self.world.engines[server].transitions

    @property
    def operations(self) -> Operations:
        return self.world.engines[0].operations

    def specs(self, drawn: list[dict[str, Any]]) -> list[Spec]:
        specs = []
        for draw in drawn:
            kind, ms = draw.get("placing", (NOW, 0))
            first, longest, multiplier = draw.get("backoff", (1000, 600_000, 2.0))
            expires_in = draw.get("expires_in_ms", 0)
            given = {name: draw[name] for name in draw.keys() & set(Spec._fields)}
            specs.append(
                Spec(
                    **{"window_ms": 60_000} | given, id=self.mint("job"), kind=kind,
                    ms=ms + self.model.now if kind == RUN_AT else ms, initial_backoff_ms=first,
                    max_backoff_ms=longest, multiplier=multiplier,
                    expires_ms=self.model.now + expires_in if expires_in else 0,
                )
            )  # fmt: skip
        self.ids += [spec.id for spec in specs]
        return specs

    def pick(self, sequence: list[T], number: int) -> T:
        return sequence[-1 - number % len(sequence)]

    def picked_leases(self, numbers: list[int], crossed: bool) -> list[Lease]:
        """Leases ever seen; `crossed` gives one the token of another job, or one that nobody was given."""
        leases = [self.pick(self.leases, number) for number in numbers]
        if crossed:
            other = self.pick(self.leases, numbers[0] + 1).token
            leases[0] = Lease(leases[0].id, other if other != leases[0].token else self.mint("forged"))
        return leases

    def submit(self, server: int, lose: bool, request: tuple[bytes, list[Spec]]) -> list[Enqueued] | None:
        request_id, specs = request
        new = [new_job(spec) for spec in specs]
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
            self.submit(0, False, (b"", self.specs(list(self.start))))


def new_job(spec: Spec) -> NewJob:
    """The job as the engine takes it."""
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
