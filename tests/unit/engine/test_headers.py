"""The headers of the Lua say just what is so: each key, argument and piece that is declared is used, and no other."""

import pytest

from tests.support.lua_text import LIBRARY, OWNER, files, mentioned, reached, touched, used_by

SCRIPTS = files()
ALL = {**SCRIPTS, **{f"lib/{name}": file for name, file in LIBRARY.items()}}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_declares_just_the_keys_that_it_touches(name: str) -> None:
    declared = SCRIPTS[name].tag("key")
    assert sorted(declared) == sorted(touched(SCRIPTS[name]))


@pytest.mark.parametrize("name", ALL)
def test_a_file_uses_just_the_pieces_that_it_says(name: str) -> None:
    file = ALL[name]
    needed = {OWNER[part] for part in used_by(file.code, file.own)} - {name.removeprefix("lib/")}
    assert sorted(file.tag("use")) == sorted(needed)


@pytest.mark.parametrize("name", SCRIPTS)
def test_each_argument_of_a_script_is_read(name: str) -> None:
    file = SCRIPTS[name]
    read = mentioned(file.code).union(*(mentioned(LIBRARY[OWNER[p]].parts[p]) for p in reached(file)))
    assert {*file.tag("arg"), *file.tag("each")} <= read


def test_no_two_pieces_give_the_same_name() -> None:
    given = [part for file in LIBRARY.values() for part in file.parts]
    assert sorted(given) == sorted(set(given))


def test_every_part_of_the_library_is_used() -> None:
    assert set(OWNER) <= set().union(*(reached(script) for script in SCRIPTS.values()))
