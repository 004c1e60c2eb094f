"""Reads the histories of all clients back."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.history.recorder import Kind, Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Op:
    """One job's part in one call. `request` is its lease token, or for enqueue its idempotency key.

    `reply` is the outcome the server named for the lease, or for enqueue the id of the job that was accepted.
    """

    op: Kind
    client: str
    job: str
    request: str = ""
    t_invoke: float
    t_return: float
    outcome: Outcome
    reply: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A job as it reached a worker. Its lease ends at `until`; `grace_ms` is 0 when the worker asked for none."""

    client: str
    job: str
    token: str
    t: float
    until: float
    grace_ms: float
    attempt: int
    attempts_max: int
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A handler started or finished."""

    client: str
    job: str
    attempt: int
    epoch: int
    t: float
    finished: bool


@dataclass(slots=True)
class History:
    """All that was recorded."""

    ops: list[Op] = field(default_factory=list)
    deliveries: list[Delivery] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)


def read_history(folder: Path) -> History:
    """Everything in the folder. A call without an end has the outcome unknown."""
    history = History()
    for file in sorted(folder.glob("*.jsonl")):
        _read_file(history, file.stem, file)
    return history


def _read_file(history: History, client: str, file: Path) -> None:
    calls: dict[int, dict[str, Any]] = {}
    ends: dict[int, dict[str, Any]] = {}
    for line in _lines(file):
        match line.get("op"):
            case "deliver":
                history.deliveries += [
                    Delivery(
                        client=client,
                        job=job,
                        token=line["token"],
                        t=line["t"],
                        until=line["until"],
                        grace_ms=line["grace"],
                        attempt=attempt,
                        attempts_max=attempts_max,
                        epoch=epoch,
                    )
                    for job, attempt, attempts_max, epoch in line["jobs"]
                ]
            case "start" | "finish" as what:
                history.runs.append(
                    Run(
                        client=client,
                        job=line["job"],
                        attempt=line["attempt"],
                        epoch=line["epoch"],
                        t=line["t"],
                        finished=what == "finish",
                    )
                )
            case None:
                ends[line["n"]] = line
            case _:
                calls[line["n"]] = line
    for n, call in calls.items():
        end = ends.get(n, {"t": float("inf"), "outcome": "unknown", "replies": []})
        replies = end["replies"] or [""] * len(call["jobs"])
        history.ops += [
            Op(
                op=call["op"],
                client=client,
                job=job,
                request=request,
                t_invoke=call["t"],
                t_return=end["t"],
                outcome=end["outcome"],
                reply=reply,
            )
            for (job, request), reply in zip(call["jobs"], replies, strict=True)
        ]


def _lines(file: Path) -> Iterator[dict[str, Any]]:
    for line in file.read_bytes().splitlines(keepends=True):
        if line.endswith(b"\n"):  # what was cut by a kill was never complete
            yield json.loads(line)
