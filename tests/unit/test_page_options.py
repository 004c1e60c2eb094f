"""The pages against the programs: every option, variable and command exists, and defaults are those of the server."""

import re
from pathlib import Path

import typer.main

from relay_cli.main import app
from relay_server.config import Config
from relay_worker.cli import app as worker_app

ROOT = Path(__file__).parents[2]
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
UNITS = {"": 1, "s": 1, "KiB": 1 << 10, "MiB": 1 << 20, "day": 86_400}
AMOUNT_TEXT = rf"\d[\d ]*(?:{'|'.join(filter(None, UNITS))})?"
AMOUNT = re.compile(rf"({AMOUNT_TEXT})(?![\w.])")


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


def _defaults_in_tables() -> list[tuple[str, str]]:
    """(option, default) of each row that has one option and one amount; rows about an error have its code there."""
    found = []
    for row in re.findall(r"^\|(?! `[A-Z_]+` )(.+)\|$", TEXT, re.MULTILINE):
        options = re.findall(r"`(--[a-z-]+)`", row)
        amounts = [match[1] for cell in row.split("|") if (match := AMOUNT.match(cell.strip()))]
        if len(options) == len(amounts) == 1:
            found.append((options[0], amounts[0]))
    return found


def test_every_default_is_the_server_s() -> None:
    prose = re.findall(rf"`(--[a-z-]+)`(?:,| \()\s*({AMOUNT_TEXT})[,;)]", TEXT)
    defaults = {"--" + name.replace("_", "-"): field.default for name, field in Config.model_fields.items()}
    named = [(option, amount) for option, amount in [*_defaults_in_tables(), *prose] if option in defaults]
    assert len(named) > 50
    assert [(option, amount) for option, amount in named if _value(amount) != defaults[option]] == []


def _value(amount: str) -> int:
    digits = re.sub(r"\D", "", amount)
    return int(digits) * UNITS[re.sub(r"[\d ]", "", amount)]
