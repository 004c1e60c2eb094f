"""Alert rules and the Grafana dashboard: judged by promtool, and against what a server really exposes."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

from tests.deployments.judges import ROOT, ask
from tests.support.debian import debian_program
from tests.support.http import request
from tests.support.redis_binaries import valkey9
from tests.support.redis_server import running_server
from tests.support.relay import eventually, relay_server

FOLDER = ROOT / "deployments" / "prometheus"
RULES, TESTS = FOLDER / "relay.rules.yaml", FOLDER / "relay.rules.test.yaml"
DASHBOARD = ROOT / "deployments" / "grafana" / "relay.json"
# Of every target, and of redis_exporter, whose group says so.
FOREIGN = re.compile(r"up|redis_(up|memory_(used|max)_bytes|aof_(enabled|last_(write|bgrewrite)_status))")
NAME = re.compile(r"\b(?:relay|redis|process|up)(?:_[a-z0-9_]+)?\b")


def promtool(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [debian_program("prometheus", "usr/bin/promtool"), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=FOLDER,
    )


def rules() -> list[Any]:
    (read,) = ask("documents", text=RULES.read_text())
    return [rule for group in read["groups"] for rule in group["rules"]]


def expressions() -> list[str]:
    """Of the dashboard's panels, with Grafana's own variables filled in."""
    board = json.loads(DASHBOARD.read_text())
    found = [target["expr"] for panel in board["panels"] for target in panel.get("targets", ())]
    filled = [expr.replace("$__rate_interval", "1m").replace("$job", "relay") for expr in found]
    return [expr.replace("$queue", ".*") for expr in filled]


def test_promtool_takes_the_rules() -> None:
    done = promtool("check", "rules", RULES)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(rules())} rules found" in done.stdout


def test_the_rules_fire_when_they_should_and_only_then() -> None:
    done = promtool("test", "rules", TESTS)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_wrong_threshold_would_be_noticed(tmp_path: Path) -> None:
    (tmp_path / RULES.name).write_text(
        RULES.read_text().replace("relay_streams > 8000", "relay_streams > 100")
    )
    (tmp_path / TESTS.name).write_text(TESTS.read_text())
    done = promtool("test", "rules", tmp_path / TESTS.name)
    assert done.returncode != 0
    assert "RelayStreamsNearLimit" in done.stdout + done.stderr


def test_every_alert_is_seen_firing_and_at_rest() -> None:
    (read,) = ask("documents", text=TESTS.read_text())
    cases = [case for test in read["tests"] for case in test["alert_rule_test"]]
    names = {rule["alert"] for rule in rules()}
    assert {case["alertname"] for case in cases if case.get("exp_alerts")} == names
    assert {case["alertname"] for case in read["tests"][0]["alert_rule_test"]} == names


def test_every_alert_says_what_is_wrong_and_the_guide_what_to_do() -> None:
    guide = (ROOT / "docs" / "operations.md").read_text()
    documented = set(re.findall(r"^#+ `?(Relay\w+)`?$", guide, re.MULTILINE))
    assert documented == {rule["alert"] for rule in rules()}
    for rule in rules():
        assert rule["annotations"]["summary"], rule["alert"]
        assert rule["labels"]["severity"] in {"critical", "warning"}, rule["alert"]


def test_promtool_takes_every_expression_of_the_dashboard(tmp_path: Path) -> None:
    recorded = [{"record": f"panel:{n}", "expr": expr} for n, expr in enumerate(expressions())]
    as_rules = tmp_path / "dashboard.yaml"
    as_rules.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": recorded}]}))
    done = promtool("check", "rules", as_rules)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dashboard_is_whole() -> None:
    board = json.loads(DASHBOARD.read_text())
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))
    for panel in board["panels"]:
        if panel["type"] != "row":
            assert panel["title"], panel["id"]
            assert panel["description"], panel["title"]
            assert panel["datasource"]["uid"] == "${datasource}", panel["title"]
            place = panel["gridPos"]
            assert place["x"] + place["w"] <= 24, panel["title"]


async def test_a_server_exposes_every_metric_that_is_asked_for() -> None:
    used = {name for expr in [*expressions(), *(rule["expr"] for rule in rules())] for name in names(expr)}
    assert len(used) > 20
    with running_server(valkey9()) as redis:
        async with relay_server(f"unix://{redis.socket}", http="127.0.0.1:0") as relay:
            await relay.enqueue("emails")
            port = relay.http_port

            async def sampled() -> set[str]:
                text = (await request(port, "GET", "/metrics")).body.decode()
                return metrics(text) if 'queue="emails"' in text else set()

            exposed = await eventually(sampled, what="a sample of the queue")
    assert sorted(name for name in used if name not in exposed and not FOREIGN.fullmatch(name)) == []


def names(expr: str) -> set[str]:
    """The metrics of an expression: what is left without its labels, which are in braces or parentheses."""
    bare = re.sub(r"\{[^}]*\}|(?:by|without|on) \([^)]*\)", " ", expr)
    return set(NAME.findall(bare))


def metrics(text: str) -> set[str]:
    """The names that an exposition can show samples of; one that has none yet is there by its type."""
    found = set()
    for name, kind in re.findall(r"^# TYPE (\S+) (\w+)$", text, re.MULTILINE):
        found |= {f"{name}_{part}" for part in ("bucket", "sum", "count")} if kind == "histogram" else {name}
    return found
