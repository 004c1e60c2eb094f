"""Bulk commands: a dry run and a yes come first, and the outcome is printed."""

from typing import Any

import grpc
import pytest

from relay.v1 import admin_service_pb2 as admin_pb
from relay.v1 import dead_letter_service_pb2 as dead_pb
from relay.v1 import job_pb2
from relay_conformance.scripted import Refuse
from tests.support.cli import Relay
from tests.unit.cli.scripts import Script

SAMPLE = [job_pb2.JobSummary(id="0197f000-0000-7000-8000-000000000001", type="welcome", error_type="Boom")]


@pytest.fixture(autouse=True)
def _answers(script: Script) -> None:
    def requeue(request: Any) -> list[Any]:
        done = 0 if request.dry_run else 4
        step = dead_pb.RequeueDeadLettersResponse
        return [
            step(
                examined=5, matched=2, requeued=done // 2, total=10, sample=SAMPLE if request.dry_run else []
            ),
            step(examined=10, matched=4, requeued=done, total=10, done=True),
        ]

    def purge(request: Any) -> list[Any]:
        return [admin_pb.PurgeQueueResponse(purged=7, total=7, done=True, forgotten=request.forget)]

    script.answers["RequeueDeadLetters"] = requeue
    script.answers["PurgeQueue"] = purge


def test_dry_run_shows_a_sample_and_changes_nothing(relay: Relay, script: Script, server: str) -> None:
    ended = relay("dead", "requeue", "q", "--all", "--dry-run", "--server", server)
    assert ended.code == 0
    assert "4 of 10 dead letters would be requeued" in ended.out
    assert "0197f000-0000-7000-8000-000000000001" in ended.err
    assert "… and 3 more" in ended.err
    assert [request.dry_run for request in script.requests("RequeueDeadLetters")] == [True]


def test_without_a_terminal_it_asks_for_yes(
    relay: Relay, script: Script, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)
    ended = relay("dead", "requeue", "q", "--all", "--server", server)
    assert ended.code == 2
    assert "add --yes" in ended.err
    assert [request.dry_run for request in script.requests("RequeueDeadLetters")] == [True]


@pytest.mark.parametrize(("answer", "code", "calls"), [(True, 0, 2), (False, 1, 1)])
def test_on_a_terminal_the_answer_counts(
    relay: Relay,
    script: Script,
    server: str,
    monkeypatch: pytest.MonkeyPatch,
    answer: bool,
    code: int,
    calls: int,
) -> None:
    asked: list[str] = []

    def confirm(text: str, *, err: bool) -> bool:
        assert err
        asked.append(text)
        return answer

    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("typer.confirm", confirm)
    ended = relay("dead", "requeue", "q", "--type", "welcome", "--server", server)
    assert (ended.code, asked) == (code, ["requeue 4 dead letters?"])
    assert len(script.requests("RequeueDeadLetters")) == calls
    assert ("requeued 4 dead letters" in ended.out) is answer
    assert ("nothing was changed" in ended.err) is not answer


def test_json_is_events_and_yes_does_it(relay: Relay, script: Script, server: str) -> None:
    ended = relay("dead", "requeue", "q", "an-id", "--yes", "--output", "json", "--server", server)
    assert ended.code == 0
    preview, done = ended.values
    assert (preview["event"], preview["matched"], preview["sample"][0]["error_type"]) == (
        "preview",
        4,
        "Boom",
    )
    assert done == {"event": "done", "requeued": 4}
    assert [list(request.ids.ids) for request in script.requests("RequeueDeadLetters")] == [["an-id"]] * 2


def test_filters_reach_the_server(relay: Relay, script: Script, server: str) -> None:
    relay(
        "dead",
        "requeue",
        "q",
        "--type",
        "t",
        "--error",
        "E",
        "--since",
        "1h",
        "--dry-run",
        "--server",
        server,
    )
    (request,) = script.requests("RequeueDeadLetters")
    assert (request.filter.type, request.filter.error_type, request.filter.all) == ("t", "E", False)
    assert request.filter.HasField("died_after")
    assert not request.filter.HasField("died_before")


def test_purge_queue_confirms_with_the_name(relay: Relay, script: Script, server: str) -> None:
    ended = relay("purge-queue", "q", "--yes", "--forget", "--server", server)
    assert ended.code == 0
    assert "purged 7 waiting jobs" in ended.out
    dry, real = script.requests("PurgeQueue")
    assert (dry.dry_run, dry.confirm, dry.forget) == (True, "", False)
    assert (real.dry_run, real.confirm, real.forget) == (False, "q", True)


def test_nothing_to_do_is_fine_and_asks_nothing(relay: Relay, script: Script, server: str) -> None:
    script.answers["RequeueDeadLetters"] = lambda _: [
        dead_pb.RequeueDeadLettersResponse(examined=3, total=3, done=True)
    ]
    ended = relay("dead", "requeue", "q", "--type", "other", "--server", server)
    assert ended.code == 0
    assert "nothing to requeue: 0 of 3 dead letters match" in ended.out
    assert len(script.requests("RequeueDeadLetters")) == 1


def test_a_refusal_is_one_line(relay: Relay, script: Script, server: str) -> None:
    def refuse(_: Any) -> Any:
        raise Refuse(grpc.StatusCode.FAILED_PRECONDITION, "the queue still holds 2 jobs")

    script.answers["PurgeQueue"] = refuse
    ended = relay("purge-queue", "q", "--yes", "--server", server)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == "relay: the queue still holds 2 jobs (FAILED_PRECONDITION)\n"
