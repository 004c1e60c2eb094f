"""Reads JSON of an untrusted sender: strictly, and within bounds that are checked before values are built."""

import json
import math
import re
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any, NoReturn

DIGITS_MAX = 1000  # of one number

# Matches up to the next bracket or comma. Before one, JSON has at most two strings, a name and a value; both are
# skipped whole. Quantifiers are possessive, and an unclosed string matches too, so no character is read twice.
_STRING, _OTHERS = r'"(?:[^"\\]++|\\.?)*+(?:"|\Z)', r'[^"\[\]{},]*+'
_MARK = re.compile(rf"{_OTHERS}(?:{_STRING}{_OTHERS}){{0,2}}+([\[\]{{}},])", re.DOTALL)
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class BadJson(ValueError):
    """The text is not JSON, or is over a limit. The message gives the place and the limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonLimits:
    """The most levels of nesting, and the most values of all levels; names do not count."""

    depth: int = 64
    values: int = 50_000

    def at_most(self, values: int | None) -> "JsonLimits":
        """These limits, lowered to `values` if that is less."""
        return self if values is None or values >= self.values else replace(self, values=values)


def read_json(raw: bytes, limits: JsonLimits) -> Any:
    """The value. Refuses with BadJson: invalid UTF-8, a name twice in an object, NaN and Infinity, numbers that no
    double holds, half surrogate pairs, and what is over the limits.
    """
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise BadJson(f"is not UTF-8 at byte {error.start + 1}") from None
    _check_size(text, limits)
    try:
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_constant,
            parse_float=_float,
            parse_int=_int,
        )
    except json.JSONDecodeError as error:
        what = error.msg.removesuffix(" at")
        raise BadJson(f"is not JSON: {what} at line {error.lineno} column {error.colno}") from None
    if _SURROGATE.search(text):
        _check_surrogates(value)
    return value


def _check_size(text: str, limits: JsonLimits) -> None:
    # Two counts pass nearly every body. They include brackets and commas in strings, so only a walk may refuse.
    opened = text.count("[") + text.count("{")
    if opened <= limits.depth and opened + text.count(",") < limits.values:
        return
    # Where the walk ends early, the text is no JSON, and the parser stops at the same place.
    depth = values = at = 0
    while (found := _MARK.match(text, at)) is not None:
        mark, at = found[1], found.end()
        if mark in "[{":
            depth += 1
            values += 1
            if depth > limits.depth:
                raise BadJson(f"is nested more than {limits.depth} deep, at {_place(text, at - 1)}")
        elif mark in "]}":
            depth -= 1
            if depth < 0:
                return
        else:
            values += 1
        if values >= limits.values:
            raise BadJson(f"has more than {limits.values} values, at {_place(text, at - 1)}")


def _place(text: str, at: int) -> str:
    before = text.rfind("\n", 0, at)
    return f"line {text.count(chr(10), 0, at) + 1} column {at - before}"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        twice = next(name for name, count in counts.items() if count > 1)
        raise BadJson(f"has the name {twice[:80]!r} twice in one object")
    return value


def _constant(text: str) -> NoReturn:
    raise BadJson(f"is not JSON: {text} is no number there")


def _float(text: str) -> float:
    if len(text) > DIGITS_MAX:
        raise BadJson(f"has a number of more than {DIGITS_MAX} digits")
    value = float(text)
    if not math.isfinite(value):
        raise BadJson(f"has a number that is too large: {text[:40]}")
    return value


def _int(text: str) -> int:
    if len(text) > DIGITS_MAX:
        raise BadJson(f"has a number of more than {DIGITS_MAX} digits")
    return int(text)


def _check_surrogates(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise BadJson("has half of a surrogate pair, which is no character") from None
