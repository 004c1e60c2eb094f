"""The Lua keeps the house's rules: short files, and headers that say just what is so.

That a script declares the keys which it touches, and no others, is checked by the loader.
"""

import pytest

from relay_server.engine.lua_parts import mentioned, needed, parts_of
from tests.support.lua_text import LIBRARY, OWNER, files, pieces_mentioned

SCRIPTS = files()
ALL = {**SCRIPTS, **{f"lib/{name}": file for name, file in LIBRARY.items()}}
TEXTS = [file.text for file in LIBRARY.values()]
LINES_MAX = 80


@pytest.mark.parametrize("name", ALL)
def test_a_file_is_short(name: str) -> None:
    assert len(ALL[name].text.splitlines()) <= LINES_MAX


@pytest.mark.parametrize("name", ALL)
def test_a_file_uses_just_the_pieces_that_it_says(name: str) -> None:
    file = ALL[name]
    assert sorted(file.tag("use")) == sorted(pieces_mentioned(file))


@pytest.mark.parametrize("name", SCRIPTS)
def test_each_argument_of_a_script_is_read(name: str) -> None:
    file = SCRIPTS[name]
    read = mentioned(file.code).union(*(part.mentions for part in needed(file.code, TEXTS)))
    assert {*file.tag("arg"), *file.tag("each")} <= read


def test_no_two_pieces_give_the_same_name() -> None:
    given = [name for text in TEXTS for part in parts_of(text) for name in part.names]
    assert sorted(given) == sorted(set(given))


def test_every_part_of_the_library_is_used() -> None:
    used = {name for script in SCRIPTS.values() for part in needed(script.code, TEXTS) for name in part.names}
    assert used == set(OWNER)
