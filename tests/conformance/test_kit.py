"""The kit itself: it finds exactly what is wrong, says so in words, and its files are what its code says."""

import asyncio
import json
import sys
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest

from relay_conformance.__main__ import EXIT_FAILED, EXIT_PASSED, EXIT_USAGE, main
from relay_conformance.play import play_all
from relay_conformance.scenario import FOLDER, SCHEMA, BadScenario, Scenario, load, read, schema
from tests.conformance.sdks import DRIVERS, wrong

# Defect -> the scenarios it fails. Only those that cannot hide one another are tried together.
FOUND = {
    "runs-duplicates": {"duplicate-delivery"},
    "dies-of-the-unknown": {"unknown-fields"},
    "ignores-window": {"window-kept", "window-restated"},
    "acks-what-it-cannot-read": {"bad-jobs"},
    "gives-back-finished-work": {"drain-finished"},
    "new-ids-on-repeat": {"enqueue-cut", "enqueue-repeated"},
    "reconnects-at-once": {"claim-backoff", "claim-retry-info", "stream-ends"},
    "believes-the-deadline": {"clock-skew"},
    "backs-off-in-step": {"backoff", "overloaded", "retry-info"},
}
FOUND_ALONE = {
    "acks-lost-leases": {
        "cancel-frame",
        "clock-skew",
        "duplicate-delivery",
        "extend-lease-lost",
        "lease-runs-out",
    },
    "no-heartbeat": {
        "blocking-handler",
        "clock-skew",
        "drain-elsewhere",
        "drain-frame",
        "extend-lease-lost",
        "goaway",
        "lease-runs-out",
        "short-lease",
        "stream-cut",
        "work-token",
    },
    "forgets-its-session": {
        "drain-elsewhere",
        "drain-frame",
        "goaway",
        "keep-alives-missed",
        "stream-cut",
        "work-failover",
    },
    "waits-for-silence": {"drain-elsewhere", "drain-frame", "keep-alives-missed"},
    "repeats-everything": {
        "backoff",
        "deadline",
        "error-later",
        "error-mapping",
        "error-unavailable",
        "overloaded",
        "retry-info",
    },
}
# What none of these defects touches.
_CONTROLS = ["ack", "enqueue", "settle-repeated"]


def _failed(scenarios: dict[str, Scenario], command: list[str], *, at_once: int = 10) -> set[str]:
    results = asyncio.run(play_all(scenarios, command, at_once=at_once, on_result=lambda result: None))
    assert len(results) == len(scenarios)
    return {one.name for one in results if one.outcome != "pass"}


def test_a_wrong_client_fails_exactly_the_scenarios_about_what_it_does_wrong() -> None:
    expected: set[str] = set().union(*FOUND.values())
    failed = _failed(load(), wrong(*FOUND))
    # Deadlines and gaps of milliseconds: on a busy machine ten at once may look otherwise than each alone.
    if unclear := failed ^ expected:
        failed = failed - unclear | _failed(load([*unclear]), wrong(*FOUND), at_once=1)
    assert failed == expected


@pytest.mark.parametrize("defect", FOUND_ALONE)
def test_a_defect_is_found(defect: str) -> None:
    found = FOUND_ALONE[defect]
    assert _failed(load([*found, *_CONTROLS]), wrong(defect)) == found


def test_the_schema_is_that_of_the_step_language() -> None:
    assert SCHEMA.read_text("utf-8") == schema(), "run relay-conformance --schema and commit the result"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_a_scenario_file_names_its_schema(path: Path) -> None:
    if path != SCHEMA:
        assert json.loads(path.read_text("utf-8"))["$schema"] == SCHEMA.name


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"about": "x", "rule": "x", "needs": ["work"]}', "steps: Field required"),
        ('{"about": "x", "rule": "x", "needs": ["fly"], "steps": []}', "needs.0"),
        ('{"about": "x", "rule": "x", "needs": [], "steps": [{"do": "dance"}]}', "steps.0"),
        (
            '{"about": "x", "rule": "x", "needs": [], "steps": [{"do": "cut", "broker": "z"}]}',
            "no broker called 'z'",
        ),
        ('{"about": "x", "rule": "x", "needs": [], "steps": [{"do": "send"}]}', "give one of jobs"),
        (
            '{"about": "x", "rule": "x", "needs": [], "steps": [{"do": "refute", "saw": "ack", "since": "m"}]}',
            "no mark called 'm'",
        ),
    ],
)
def test_a_bad_scenario_file_is_refused_in_words(text: str, words: str, tmp_path: Path) -> None:
    file = tmp_path / "one.json"
    file.write_text(text)
    with pytest.raises(BadScenario, match=r"one\.json") as refused:
        read(file)
    assert words in str(refused.value)


def test_the_command_line_reports_to_people_and_machines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    driver = f"{sys.executable} {DRIVERS / 'wrong.py'} new-ids-on-repeat"
    report, junit = tmp_path / "report.json", tmp_path / "report.xml"
    arguments = ["--driver", driver, "--scenario", "enqueue", "--scenario", "enqueue-repeated"]
    assert main([*arguments, "--json", str(report), "--junit", str(junit)]) == EXIT_FAILED
    out = capsys.readouterr().out
    assert "relay-python 0.1.0 (python): 1 passed, 1 failed, 0 skipped" in out
    assert "job_id is not same" in out
    outcomes = {one["name"]: one["outcome"] for one in json.loads(report.read_text())["results"]}
    assert outcomes == {"enqueue": "pass", "enqueue-repeated": "fail"}
    suite = Xml.parse(junit).getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    assert main(["--driver", driver, "--scenario", "enqueue"]) == EXIT_PASSED


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--driver", "x", "--scenario", "nothing"], "scenario 'nothing': there is none"),
        ([], "--driver: name the command"),
    ],
)
def test_wrong_arguments_are_told(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == EXIT_USAGE
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("print('hello there')", "a line that is no event: b'hello there"),
        ("raise SystemExit(3)", "the driver ended by itself, with code 3"),
        ('print(\'{"event": "hello", "protocol": 2}\', flush=True); input(); input()', "speaks protocol 2"),
        ('print(\'{"event": "failed", "message": "no luck"}\', flush=True); input(); input()', "no luck"),
    ],
)
def test_a_driver_that_does_not_speak_the_protocol_fails_in_words(program: str, words: str) -> None:
    (result,) = asyncio.run(
        play_all(load(["ack"]), [sys.executable, "-c", program], at_once=1, on_result=lambda result: None)
    )
    assert result.outcome == "fail"
    assert words in result.why


def test_a_driver_that_cannot_be_started_fails_in_words() -> None:
    (result,) = asyncio.run(play_all(load(["ack"]), ["/no/such"], at_once=1, on_result=lambda result: None))
    assert "'/no/such' cannot be started" in result.why


def test_what_a_driver_cannot_do_is_skipped() -> None:
    program = (
        'print(\'{"event": "hello", "protocol": 1, "sdk": "s", "version": "1", "language": "l", '
        '"capabilities": ["produce"]}\', flush=True); input(); input()'
    )
    (result,) = asyncio.run(
        play_all(load(["ack"]), [sys.executable, "-c", program], at_once=1, on_result=lambda result: None)
    )
    assert (result.outcome, result.why) == ("skip", "the driver has no capability work")
