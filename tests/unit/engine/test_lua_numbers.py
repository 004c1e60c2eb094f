"""Numbers that stand in Lua and in Python are the same: states, reasons of dead letters, kinds of failures."""

import re

import pytest

from relay_server.engine import record, store_format
from relay_server.words import DeadReason, FailureKind, State
from tests.support.lua_text import LIBRARY


def _names(piece: str, first: str) -> dict[str, int]:
    """The list `local FIRST, … = 1, …` of a piece, as names and numbers."""
    found = re.search(rf"^local ({first}, [\w, ]+) = ([\d, ]+)$", LIBRARY[piece].code, re.MULTILINE)
    assert found is not None, f"{piece}.lua has no list that begins with {first}"
    return dict(zip(found[1].split(", "), map(int, found[2].split(", ")), strict=True))


def test_states() -> None:
    assert _names("fail", "READY") == {state.name: int(state) for state in State}


def test_reasons_of_dead_letters() -> None:
    reasons = {reason.name: int(reason) for reason in DeadReason if reason is not DeadReason.NONE}
    assert _names("record", "ATTEMPTS") == reasons
    assert f"local REASON_MAX = {max(DeadReason).name}\n" in LIBRARY["record"].text


def test_a_new_reason_of_dead_letters_has_a_new_format() -> None:
    """A server of the format before could not read it: see "A new reason of dead letters" in CONTRIBUTING.md."""
    assert (store_format.FORMAT, max(DeadReason)) == (1, DeadReason.EXPIRED)


def test_kinds_of_failures() -> None:
    kinds = {f"{kind.name}_FAILURE": int(kind) for kind in FailureKind if kind is not FailureKind.UNKNOWN}
    assert _names("failures", "RETRY_FAILURE") == kinds


@pytest.mark.parametrize("name", ["TIME_MAX", "READABLE_MULTIPLIER_MAX"])
def test_what_a_record_can_hold(name: str) -> None:
    found = re.search(rf"^local {name} = 2 \^ (\d+)", LIBRARY["record"].text, re.MULTILINE)
    python = {"TIME_MAX": record.TIME_MAX_MS, "READABLE_MULTIPLIER_MAX": record._READABLE_MULTIPLIER_MAX}
    assert found is not None
    assert 2 ** int(found[1]) == python[name]
