"""The pages against the programs: every option, variable and command that a page names exists."""

import re

import typer.main

from relay_cli.main import app
from relay_server.config import Config
from relay_worker.cli import app as worker_app
from tests.deployments.judges import ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXT = "\n".join(page.read_text() for page in PAGES)
# Of other programs.
FOREIGN = {
    *("--scale", "--rm"),  # docker
    *("--from-literal", "--from-file", "--type", "--set", "--now"),  # kubectl, helm, systemctl
    *("--rdb", "--cluster", "--fix"),  # redis-cli
    *("--protocol", "--json"),  # buf, curl
    *("--strict", "--only", "--rounds"),  # mypy, benchmarks, tests.chaos.power
    *("--jobs", "--driver"),  # the demo, relay-conformance
}
# Not an option of a program: systemd's unit passes it on.
FOREIGN_VARIABLES = {"RELAY_WORKER_JOBS"}


def commands(group: object, path: str = "") -> dict[str, set[str]]:
    """Every command of a program, with its options."""
    found = {path: {option for each in getattr(group, "params", ()) for option in each.opts}}
    for name, command in getattr(group, "commands", {}).items():
        found |= commands(command, f"{path} {name}".strip())
    return found


RELAY = commands(typer.main.get_command(app))
WORKER = typer.main.get_command(worker_app)


def test_every_option_exists() -> None:
    server = {"--" + name.replace("_", "-") for name in Config.model_fields}
    worker = {option for each in WORKER.params for option in each.opts}
    known = server | worker | FOREIGN | {option for options in RELAY.values() for option in options}
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", TEXT)) - known == set()


def test_every_variable_exists() -> None:
    server = {f"RELAY_{name.upper()}" for name in Config.model_fields}
    worker = {str(each.envvar) for each in WORKER.params if getattr(each, "envvar", None)}
    found = set(re.findall(r"\bRELAY_[A-Z][A-Z_]+[A-Z]\b", TEXT))
    assert found - server - worker - FOREIGN_VARIABLES == set()


def test_every_command_exists() -> None:
    named = re.findall(r"(?:`|^)relay ((?:[a-z][a-z-]*)(?: [a-z][a-z-]*)?)", TEXT, re.MULTILINE)
    assert len(named) > 8
    for words in named:
        assert words in RELAY or words.split()[0] in RELAY, words
        if RELAY.get(words.split()[0]) is not None and " " in words:
            group = [name for name in RELAY if name.startswith(words.split()[0] + " ")]
            assert not group or words in group, words
