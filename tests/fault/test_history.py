"""The history checker, tried on forged histories: each broken promise must be seen, and nothing else."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.history import Delivery, Final, History, Op, Outcome, Recorder, Run, check, read_history

JOB, OTHER = "job-1", "job-2"
LEASE_MS = 30_000.0


def enqueue(job: str = JOB, *, key: str = "", outcome: Outcome = "ok", reply: str | None = None) -> Op:
    answer = (job if reply is None else reply) if outcome == "ok" else ""
    return Op(
        op="enqueue", client="p", job=job, request=key, t_invoke=0, t_return=1, outcome=outcome, reply=answer
    )


def settle(
    op: Any, token: str, t: float, *, outcome: Outcome = "ok", reply: str = "OK", job: str = JOB
) -> Op:
    return Op(
        op=op,
        client="w",
        job=job,
        request=token,
        t_invoke=t,
        t_return=t + 1,
        outcome=outcome,
        reply=reply if outcome == "ok" else "",
    )


def deliver(
    token: str, epoch: int, *, job: str = JOB, client: str = "w", attempt: int = 1, **fields: Any
) -> Delivery:
    settings: dict[str, Any] = {
        "t": epoch + 2.0,
        "until": epoch + LEASE_MS,
        "grace_ms": 0.0,
        "attempts_max": 3,
    }
    return Delivery(job=job, client=client, token=token, epoch=epoch, attempt=attempt, **(settings | fields))


def run(epoch: int, *, finished: bool = False, client: str = "w") -> Run:
    return Run(client=client, job=JOB, attempt=1, epoch=epoch, t=epoch + 5, finished=finished)


def kinds(history: History, final: Final | None = None) -> set[str]:
    return {violation.kind for violation in check(history, final or Final()).violations}


GOOD = {
    "done": History(
        [enqueue(), settle("ack", "a", 1500)], [deliver("a", 1000)], [run(1000), run(1000, finished=True)]
    ),
    "ack whose reply was lost": History(
        [enqueue(), settle("ack", "a", 1500, outcome="unknown")], [deliver("a", 1000)]
    ),
    "ack repeated after a lost reply": History(
        [enqueue(), settle("ack", "a", 1500, outcome="unknown"), settle("ack", "a", 1600, reply="GONE")],
        [deliver("a", 1000)],
    ),
    "enqueue of unknown outcome that was not applied": History([enqueue(outcome="unknown")]),
    "enqueue of unknown outcome that was": History(
        [enqueue(outcome="unknown"), settle("ack", "a", 1500)], [deliver("a", 1000)]
    ),
    "nacked and claimed again": History(
        [enqueue(), settle("nack", "a", 1100), settle("ack", "b", 1500)],
        [deliver("a", 1000), deliver("b", 1200, attempt=2)],
    ),
    "lease expired": History(
        [enqueue(), settle("ack", "a", 31_500, reply="LEASE_LOST"), settle("ack", "b", 32_000)],
        [deliver("a", 1000), deliver("b", 31_001, attempt=2)],
    ),
    "worker lost, grace passed": History(
        [enqueue(), settle("ack", "b", 9000)],
        [deliver("a", 1000, grace_ms=5000.0), deliver("b", 6100, attempt=2)],
    ),
    "nack repeated after its first answer was lost, late": History(
        [
            enqueue(),
            settle("nack", "a", 1100, outcome="unknown"),
            settle("nack", "a", 1900),
            settle("ack", "b", 2000),
        ],
        [deliver("a", 1000), deliver("b", 1200, attempt=2)],
    ),
    "one key, one job": History(
        [enqueue(key="k"), enqueue(OTHER, key="k", reply=JOB), settle("ack", "a", 1500)], [deliver("a", 1000)]
    ),
}


@pytest.mark.parametrize("name", list(GOOD))
def test_what_is_promised_passes(name: str) -> None:
    assert check(GOOD[name], Final()).violations == []


def test_jobs_that_wait_or_died_are_accounted_for() -> None:
    history = History([enqueue(), enqueue(OTHER)])
    assert check(history, Final(live=frozenset({JOB}), dead=frozenset({OTHER}))).ok


BAD = {
    "lost": ("lost", History([enqueue()]), Final()),
    "lost after a delivery": ("lost", History([enqueue()], [deliver("a", 1000)]), Final()),
    "lost though a stale ack was refused": (
        "lost",
        History([enqueue(), settle("ack", "a", 1500, reply="LEASE_LOST")], [deliver("a", 1000)]),
        Final(),
    ),
    "lost to a nack": (
        "lost",
        History([enqueue(), settle("nack", "a", 1500)], [deliver("a", 1000)]),
        Final(),
    ),
    "delivered, never enqueued": (
        "unexpected",
        History([settle("ack", "a", 1500)], [deliver("a", 1000)]),
        Final(),
    ),
    "in the store, never enqueued": ("unexpected", History(), Final(dead=frozenset({JOB}))),
    "refused and there": ("unexpected", History([enqueue(outcome="fail")]), Final(live=frozenset({JOB}))),
    "run without a delivery": (
        "unexpected",
        History([enqueue(), settle("ack", "a", 1500)], [deliver("a", 1000)], [run(999)]),
        Final(),
    ),
    "one delivery run twice": (
        "unexpected",
        History([enqueue(), settle("ack", "a", 1500)], [deliver("a", 1000)], [run(1000), run(1000)]),
        Final(),
    ),
    "delivered after its ack": (
        "redelivered",
        History([enqueue(), settle("ack", "a", 1500)], [deliver("a", 1000), deliver("b", 31_200, attempt=2)]),
        Final(),
    ),
    "there after its ack": (
        "redelivered",
        History([enqueue(), settle("ack", "a", 1500)], [deliver("a", 1000)]),
        Final(live=frozenset({JOB})),
    ),
    "acked under a token that nobody saw, and another": (
        "redelivered",
        History([enqueue(), settle("ack", "a", 1500), settle("ack", "x", 1600)], [deliver("a", 1000)]),
        Final(),
    ),
    "second lease inside the first": (
        "overlap",
        History([enqueue(), settle("ack", "b", 9000)], [deliver("a", 1000), deliver("b", 30_900, attempt=2)]),
        Final(),
    ),
    "second lease inside the grace": (
        "overlap",
        History(
            [enqueue(), settle("ack", "b", 9000)],
            [deliver("a", 1000, grace_ms=5000.0), deliver("b", 5900, attempt=2)],
        ),
        Final(),
    ),
    "second lease inside an extension": (
        "overlap",
        History(
            [enqueue(), settle("extend", "a", 20_000, reply="OK 30000"), settle("ack", "b", 60_000)],
            [deliver("a", 1000), deliver("b", 31_100, attempt=2)],
        ),
        Final(),
    ),
    "a refused nack settles nothing": (
        "overlap",
        History(
            [enqueue(), settle("nack", "a", 1100, reply="LEASE_LOST"), settle("ack", "b", 9000)],
            [deliver("a", 1000), deliver("b", 1200, attempt=2)],
        ),
        Final(),
    ),
    "twice under one token": (
        "overlap",
        History([enqueue(), settle("ack", "a", 1500)], [deliver("a", 1000), deliver("a", 1000, client="v")]),
        Final(),
    ),
    "stale ack accepted": (
        "stale",
        History(
            [enqueue(), settle("ack", "a", 32_000)], [deliver("a", 1000), deliver("b", 31_100, attempt=2)]
        ),
        Final(),
    ),
    "stale extend accepted": (
        "stale",
        History(
            [enqueue(), settle("extend", "a", 32_000, reply="OK 30000"), settle("ack", "b", 33_000)],
            [deliver("a", 1000), deliver("b", 31_100, attempt=2)],
        ),
        Final(),
    ),
    "stale nack accepted": (
        "stale",
        History(
            [enqueue(), settle("nack", "a", 32_000), settle("ack", "b", 33_000)],
            [deliver("a", 1000), deliver("b", 31_100, attempt=2)],
        ),
        Final(),
    ),
    "too many attempts": (
        "attempts",
        History([enqueue(), settle("ack", "a", 1500)], [deliver("a", 1000, attempt=4)]),
        Final(),
    ),
    "one epoch twice": (
        "epochs",
        History(
            [enqueue(), settle("nack", "a", 999), settle("ack", "b", 1500)],
            [deliver("a", 1000), deliver("b", 1000, attempt=2)],
        ),
        Final(),
    ),
    "epochs against attempts": (
        "epochs",
        History(
            [enqueue(), settle("nack", "b", 1100), settle("ack", "a", 1500)],
            [deliver("a", 1200, attempt=1), deliver("b", 1000, attempt=2)],
        ),
        Final(),
    ),
    "one key answered with two jobs": (
        "keys",
        History([enqueue(key="k"), enqueue(OTHER, key="k")]),
        Final(live=frozenset({JOB, OTHER})),
    ),
    "two jobs of one key delivered": (
        "keys",
        History(
            [
                enqueue(key="k"),
                enqueue(OTHER, key="k", outcome="unknown"),
                settle("ack", "a", 1500),
                settle("ack", "b", 1500, job=OTHER),
            ],
            [deliver("a", 1000), deliver("b", 1000, job=OTHER)],
        ),
        Final(),
    ),
}


@pytest.mark.parametrize("name", list(BAD))
def test_each_broken_promise_is_seen(name: str) -> None:
    kind, history, final = BAD[name]
    assert kind in kinds(history, final)
    # A stale settle, or one under an unknown token, implies more than one violation; others are seen once.
    if kind != "stale":
        assert kinds(history, final) == {kind}


def test_what_is_recorded_is_what_is_read(tmp_path: Path) -> None:
    producer, worker = Recorder(tmp_path, "p"), Recorder(tmp_path, "w")
    call = producer.invoke("enqueue", [(JOB, ""), (OTHER, "k")])
    producer.returned(call, "ok", [JOB, OTHER])
    worker.delivered("a", 1900.0, 0.0, [(JOB, 1, 3, 1000)])
    worker.ran(JOB, 1, 1000, finished=False)
    worker.invoke("ack", [(JOB, "a")])
    producer.close()
    worker.close()
    with (tmp_path / "w.jsonl").open("a") as file:
        file.write('{"t": 1, "op": "deli')  # killed in the middle of a line
    history = read_history(tmp_path)
    assert [(op.op, op.job, op.request, op.outcome, op.reply) for op in history.ops] == [
        ("enqueue", JOB, "", "ok", JOB),
        ("enqueue", OTHER, "k", "ok", OTHER),
        ("ack", JOB, "a", "unknown", ""),
    ]
    assert [(one.job, one.token, one.until) for one in history.deliveries] == [(JOB, "a", 1900.0)]
    assert [(one.client, one.epoch, one.finished) for one in history.runs] == [("w", 1000, False)]


def test_a_hundred_thousand_events_take_seconds() -> None:
    history = History()
    for n in range(25_000):
        job = f"job-{n}"
        history.ops += [enqueue(job), settle("ack", job, 1500, job=job)]
        history.deliveries += [deliver(job, 1000, job=job)]
    verdict = check(history, Final())
    assert verdict.ok
    assert (verdict.counts["enqueued"], verdict.counts["done"]) == (25_000, 25_000)
