"""Every script has its tests, and every word that a header promises is made to appear by one of them.

`@pytest.mark.covers(script, words)` says it, and the `lab` fixture fails a test that says it and does not do it.
"""

import ast
import re
from importlib import resources
from pathlib import Path

import pytest

HERE = Path(__file__).parent
LUA = resources.files("relay_server.engine").joinpath("lua")
SCRIPTS = sorted(file.name.removesuffix(".lua") for file in LUA.iterdir() if file.name.endswith(".lua"))


def promised(script: str) -> set[str]:
    """The words of `@returns`, over all of its lines."""
    header = LUA.joinpath(f"{script}.lua").read_text()
    (returns,) = re.findall(r"^-- @returns (.*(?:\n--  .*)*)", header, re.MULTILINE)
    return set(re.findall(r"\b[A-Z][A-Z_]+\b", returns))


def covered() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for path in HERE.glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.covers":
                script, *words = [str(ast.literal_eval(argument)) for argument in node.args]
                found.setdefault(script, set()).update(words)
    return found


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_has_a_file_of_tests(script: str) -> None:
    assert (HERE / f"test_{script}.py").exists(), f"write tests/lua/test_{script}.py"


@pytest.mark.parametrize("script", SCRIPTS)
def test_each_word_of_a_header_is_answered_in_some_test(script: str) -> None:
    assert covered().get(script, set()) == promised(script)


def test_no_word_is_returned_that_the_header_keeps_quiet_about() -> None:
    for script in SCRIPTS:
        body = re.sub(r"--[^\n]*", "", LUA.joinpath(f"{script}.lua").read_text())
        returned = set(re.findall(r'(?:return \{|word = |words?\()"([A-Z_]{2,})"', body))
        internal = {"REPEAT"}  # of lib/lease.lua, never answered
        assert returned - internal <= promised(script), script


def test_words_are_found_at_all() -> None:
    assert promised("ack") == {"OK", "GONE", "LEASE_LOST", "CANCELLED"}
    assert promised("hand_back") == set()
