"""CONTRIBUTING.md's map: every file and folder that it names exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "CONTRIBUTING.md").read_text()


def _map() -> list[str]:
    section = PAGE.partition("## The reader's map")[2].partition("\n## ")[0]
    code = [word for word in re.findall(r"`([^`\n]+)`", section) if "/" in word]
    links = re.findall(r"\]\(([^)#]+)\)", section)
    return sorted({*code, *links})


@pytest.mark.parametrize("path", _map())
def test_the_map_leads_somewhere(path: str) -> None:
    assert (ROOT / path).exists()


def test_the_map_has_every_folder_of_the_server() -> None:
    folders = {file.parent.name for file in (ROOT / "relay_server").glob("*/__init__.py")} - {"keda"}
    named = {path.split("/")[1] for path in _map() if path.startswith("relay_server/")}
    assert folders <= named
