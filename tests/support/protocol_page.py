"""Reads docs/protocol.md: its sections, and its table of limits."""

import re
from pathlib import Path
from types import ModuleType

PAGE = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text("utf-8")


def section(title: str) -> str:
    found = re.search(rf"^## \d+\. {title}$(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None, title
    return found.group(1)


def limits() -> dict[str, tuple[str, str]]:
    """Constant -> its value as written, and its unit."""
    table = re.findall(r"^\|[^|]+\|([^|]+)\|([^|]*)\| `([A-Z_]+)` \|$", section("Limits"), re.MULTILINE)
    return {name: (value.strip(), unit.strip()) for value, unit, name in table}


def check_limits(module: ModuleType) -> None:
    """Every constant of the module stands in the table with its value."""
    table = limits()
    own = {name: value for name, value in vars(module).items() if name.isupper()}
    assert own
    for name, value in own.items():
        assert float(table[name][0].replace(" ", "")) == value, name
