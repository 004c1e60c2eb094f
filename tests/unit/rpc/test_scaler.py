"""What a trigger's metadata may say, and how many workers the metrics ask for."""

import math
import re
from pathlib import Path

import pytest

from relay_server.errors import InvalidField
from relay_server.model import QueueSnapshot, Settings
from relay_server.rpc.scaler import AGE, BACKLOG, Crew, is_active, metric_value, read_trigger

PAGE = Path(__file__).parents[3] / "docs" / "autoscaling.md"


def queue(*, ready: int = 0, inflight: int = 0, age_s: float = 0.0, paused: bool = False) -> QueueSnapshot:
    settings = Settings(rate=0, burst=0, priority_step_ms=0, max_jobs=0, max_expirations=3)
    return QueueSnapshot(
        queue="q",
        now_ms=0,
        ready=ready,
        delayed=7,
        inflight=inflight,
        dead=9,
        unreadable=0,
        oldest_ready_ms=int(age_s * 1000),
        paused=paused,
        settings=settings,
        counters={},
    )


def replicas(metric: str, now: QueueSnapshot, crew: tuple[int, int] = (0, 0), target: str = "10") -> int:
    """What the autoscaler makes of a metric."""
    fields = {BACKLOG: "targetBacklogPerWorker", AGE: "targetAgeSeconds"}
    trigger = read_trigger({"queue": "q", fields[metric]: target})
    value = metric_value(trigger, metric, now, Crew(workers=crew[0], slots=crew[1]))
    return math.ceil(value / float(target))


@pytest.mark.parametrize(
    ("metadata", "complaints"),
    [
        ({}, ["queue", "targetBacklogPerWorker or targetAgeSeconds"]),
        ({"queue": "a b", "targetAgeSeconds": "5"}, ["queue"]),
        ({"queue": "q", "targetBacklogPerWorker": "many"}, ["targetBacklogPerWorker"]),
        ({"queue": "q", "targetBacklogPerWorker": "0"}, ["targetBacklogPerWorker"]),
        ({"queue": "q", "targetBacklogPerWorker": ""}, ["targetBacklogPerWorker"]),
        ({"queue": "q", "targetAgeSeconds": "-1"}, ["targetAgeSeconds"]),
        ({"queue": "q", "targetAgeSeconds": "nan"}, ["targetAgeSeconds"]),
        ({"queue": "q", "targetAgeSeconds": "inf"}, ["targetAgeSeconds"]),
        ({"queue": "q", "targetAgeSeconds": "5", "activationBacklog": "-1"}, ["activationBacklog"]),
        ({"queue": "q", "targetAgeSeconds": "5", "activationBacklock": "1"}, ["activationBacklock"]),
        ({"queue": "q", "targetAgeSeconds": "5", "targetBacklog": "1"}, ["targetBacklog"]),
    ],
)
def test_wrong_metadata_is_refused_by_field(metadata: dict[str, str], complaints: list[str]) -> None:
    with pytest.raises(InvalidField) as refused:
        read_trigger(metadata)
    assert [field for field, _ in refused.value.violations] == complaints


def test_fields_of_keda_itself_are_left_alone() -> None:
    trigger = read_trigger(
        {"queue": "q", "targetAgeSeconds": "2.5", "scalerAddress": "relay:50051", "enableTLS": "true"}
    )
    assert trigger.targets == {AGE: 2.5}
    assert trigger.activation_backlog == 0


@pytest.mark.parametrize(
    ("now", "crew", "wanted"),
    [
        (queue(), (0, 0), 0),
        (queue(ready=1), (0, 0), 1),
        (queue(ready=10), (1, 5), 1),
        (queue(ready=6, inflight=5), (1, 5), 2),
        # Few jobs for the target, but they fill three workers.
        (queue(inflight=12), (3, 12), 3),
        (queue(inflight=5), (3, 12), 2),
        # Leases of workers that are gone: those who are left cannot run more than they have slots for.
        (queue(inflight=5), (2, 2), 2),
        (queue(inflight=5), (0, 0), 1),
        (queue(ready=100, inflight=2, paused=True), (1, 4), 1),
    ],
)
def test_workers_by_backlog(now: QueueSnapshot, crew: tuple[int, int], wanted: int) -> None:
    assert replicas(BACKLOG, now, crew) == wanted


@pytest.mark.parametrize(
    ("now", "crew", "wanted"),
    [
        (queue(), (4, 16), 0),
        (queue(ready=1, age_s=1), (0, 0), 1),
        # Jobs wait half, once and twice as long as they should.
        (queue(ready=1, age_s=5), (4, 16), 2),
        (queue(ready=1, age_s=10), (4, 16), 4),
        (queue(ready=1, age_s=20), (4, 16), 8),
        # Nothing waits, because every slot is taken.
        (queue(inflight=16), (4, 16), 4),
        (queue(inflight=5), (4, 16), 2),
        (queue(ready=1, age_s=99, paused=True), (4, 16), 0),
    ],
)
def test_workers_by_age(now: QueueSnapshot, crew: tuple[int, int], wanted: int) -> None:
    assert replicas(AGE, now, crew) == wanted


def test_what_makes_a_queue_active() -> None:
    trigger = read_trigger({"queue": "q", "targetAgeSeconds": "30", "activationBacklog": "5"})
    assert not is_active(trigger, None)
    assert not is_active(trigger, queue())
    assert not is_active(trigger, queue(ready=5, age_s=29))
    assert is_active(trigger, queue(ready=6))
    assert is_active(trigger, queue(ready=1, age_s=30)), "few jobs may not wait for ever"
    assert not is_active(trigger, queue(ready=99, age_s=99, paused=True))
    assert is_active(trigger, queue(inflight=1, paused=True)), "what runs needs its worker"


def test_the_documented_trigger_is_taken() -> None:
    (block,) = re.findall(r"```yaml\n.*?metadata:\n.*?metadata:\n(.*?)```", PAGE.read_text(), re.DOTALL)
    trigger = read_trigger(dict(re.findall(r'^ +(\w+): "?([^"\n]+)"?$', block, re.MULTILINE)))
    assert trigger.queue == "emails"
    assert trigger.targets == {BACKLOG: 50, AGE: 30}
