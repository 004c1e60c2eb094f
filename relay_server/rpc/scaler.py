"""The autoscaler's figures of a queue: reads a trigger's metadata, and turns jobs and workers into metrics.

A metric is meant for the autoscaler's plain arithmetic, replicas = ceil(value / target). No metric asks for fewer
workers than the running jobs fill: they count as backlog, and as taken slots of those who run them.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from relay_server.model import QueueSnapshot
from relay_server.rpc.validate import Checks

BACKLOG, AGE = "relay-backlog", "relay-age"
_TARGETS = {BACKLOG: "targetBacklogPerWorker", AGE: "targetAgeSeconds"}
_ACTIVATION = "activationBacklog"
# KEDA hands targets to Kubernetes in thousandths.
_TARGET_MIN, _NUMBER_MAX = 0.001, 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """A trigger's metadata, checked. `targets` are by metric, at least one; the age's is seconds."""

    queue: str
    targets: Mapping[str, float]
    activation_backlog: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Crew:
    """The connected workers of a queue, and how many jobs they take at once, all together."""

    workers: int
    slots: int


def read_trigger(metadata: Mapping[str, str]) -> Trigger:
    """Raises InvalidField with every field that is wrong, by its name in the metadata."""
    checks = Checks()
    queue = checks.queue(metadata.get("queue", ""), "queue")
    targets = {
        metric: _number(checks, metadata, field, low=_TARGET_MIN)
        for metric, field in _TARGETS.items()
        if field in metadata
    }
    activation = _number(checks, metadata, _ACTIVATION, low=0) if _ACTIVATION in metadata else 0.0
    known = {*_TARGETS.values(), _ACTIVATION}
    for field in sorted(metadata.keys() - known):  # KEDA sends its own fields along
        if field.lower().startswith(("target", "activation")):
            checks.add(field, f"is not known; there are {', '.join(sorted(known))}")
    if not targets:
        checks.add(" or ".join(_TARGETS.values()), "is required")
    checks.done()
    return Trigger(queue=queue, targets=targets, activation_backlog=activation)


def _number(checks: Checks, metadata: Mapping[str, str], field: str, *, low: float) -> float:
    text = metadata[field]
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not low <= number <= _NUMBER_MAX:
        checks.add(field, f"must be a number from {low:g} to {_NUMBER_MAX:g}, not {text[:40]!r}")
    return number


def is_active(trigger: Trigger, queue: QueueSnapshot | None) -> bool:
    """Whether the queue wants a worker at all; one never seen does not."""
    if queue is None:
        return False
    if queue.inflight:
        return True
    if queue.paused:
        return False
    old = AGE in trigger.targets and queue.oldest_ready_ms >= trigger.targets[AGE] * 1000
    return queue.ready > trigger.activation_backlog or old


def metric_value(trigger: Trigger, metric: str, queue: QueueSnapshot | None, crew: Crew) -> float:
    """A metric of the trigger now, over all workers, in its target's unit. In a paused queue no job counts as waiting,
    and a queue that nobody ever used has none."""
    if queue is None:
        return 0.0
    ready, age_s = (0, 0.0) if queue.paused else (queue.ready, queue.oldest_ready_ms / 1000)
    target = trigger.targets[metric]
    wanted = (ready + queue.inflight) / target if metric == BACKLOG else age_s / target * max(1, crew.workers)
    filled = queue.inflight * crew.workers / crew.slots if crew.slots else 0.0
    # More jobs run than slots are known while workers that are gone still have their leases.
    return target * max(wanted, min(filled, crew.workers))
