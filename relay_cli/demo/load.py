"""The demo's load: the jobs that it makes, and their results by the server's counters."""

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from relay.v1.admin_service_pb2 import QueueStats
    from relay_client import JobSpec

MAX_ATTEMPTS: Final = 3
_COUNTERS: Final = ("enqueued", "acked", "retried")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How many jobs there are, how many of them fail at first, and how many of those always."""

    jobs: int
    failing: int
    always: int


def plan(jobs: int, fail_rate: float) -> Plan:
    failing = round(jobs * fail_rate)
    return Plan(jobs=jobs, failing=failing, always=round(failing / 3))


def specs(wanted: Plan, seed: int) -> "list[JobSpec]":
    """The jobs in their order: the same for the same plan and seed, apart from their ids."""
    from relay_client import JobSpec, RetryPolicy

    chance = random.Random(seed)
    retry = RetryPolicy(max_attempts=MAX_ATTEMPTS, initial_backoff="200ms", max_backoff="600ms", multiplier=2)
    once = wanted.failing - wanted.always
    kinds = ["demo.fail"] * wanted.always + ["demo.flaky"] * once
    kinds += ["demo.ok"] * (wanted.jobs - len(kinds))
    chance.shuffle(kinds)
    payloads: dict[str, dict[str, Any]] = {
        "demo.fail": {"reason": "the demo lets this job fail every time"},
        "demo.flaky": {"fail_attempts": 1},
    }
    return [
        JobSpec(
            type=kind,
            payload=payloads.get(kind) or {"ms": chance.randint(1, 40)},
            priority=chance.choice((0, 0, 0, 1, -1)),
            retry=retry,
        )
        for kind in kinds
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Results of jobs since the start, by the server's own counters, and the jobs that are left."""

    ready: int = 0
    delayed: int = 0
    inflight: int = 0
    dead: int = 0
    enqueued: int = 0
    acked: int = 0
    retried: int = 0

    @property
    def left(self) -> int:
        return self.ready + self.delayed + self.inflight

    @property
    def failed_at_first(self) -> int:
        """Jobs that failed at least once: a dead letter was retried after all attempts but one, others once."""
        return self.retried - self.dead * (MAX_ATTEMPTS - 1) + self.dead


def tally(now: "QueueStats | None", base: "QueueStats | None") -> Tally:
    """`base` is the queue before the load; None when it did not exist."""
    if now is None:
        return Tally()
    since = {
        name: getattr(now.counters, name) - (getattr(base.counters, name) if base is not None else 0)
        for name in _COUNTERS
    }
    dead = now.dead - (base.dead if base is not None else 0)
    return Tally(ready=now.ready, delayed=now.delayed, inflight=now.inflight, dead=dead, **since)
