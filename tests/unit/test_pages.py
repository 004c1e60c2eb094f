"""The pages in Markdown: their links, headings and files exist, and their lines are wrapped."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    page
    for pattern in ("*.md", "docs/**/*.md", "clients/*/*.md", "web/*.md", "third_party/*.md")
    for page in ROOT.glob(pattern)
)
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
LINE_MAX = 120
PLACEHOLDERS = {"docs/adr/NNNN-title.md"}
# Other paths with a slash are shortened, as in `engine/turns`.
_TOP = tuple(f"{folder.name}/" for folder in ROOT.iterdir() if folder.is_dir())

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def _prose(text: str) -> str:
    """The text without blocks of code, whose lines and brackets are not Markdown."""
    return re.sub(r"^ *```.*?^ *```$", "", text, flags=re.DOTALL | re.MULTILINE)


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", _prose(page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_page
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", _prose(page.read_text())):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in _anchors(target), link


@each_page
def test_every_file_that_is_named_exists(page: Path) -> None:
    named = re.findall(r"`((?:[\w.@-]+/)+[\w.@-]*)`", page.read_text())
    paths = [path for path in named if path.startswith(_TOP)]
    assert {path for path in paths if not (ROOT / path).exists()} <= PLACEHOLDERS


@each_page
def test_lines_are_wrapped(page: Path) -> None:
    lines = _prose(page.read_text()).splitlines()
    assert [line for line in lines if len(line) > LINE_MAX and not line.lstrip().startswith("|")] == []


def test_the_reader_s_map_has_every_folder_of_the_server() -> None:
    section = CONTRIBUTING.partition("## The reader's map")[2].partition("\n## ")[0]
    named = set(re.findall(r"`relay_server/(\w+)", section))
    folders = {file.parent.name for file in (ROOT / "relay_server").glob("*/__init__.py")} - {"keda"}
    assert folders <= named
