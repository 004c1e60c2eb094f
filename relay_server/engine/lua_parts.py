"""Splits the pieces of lua/lib/ into functions and values, so that a script is sent with those that it reaches only.

Redis creates every function of a script again in each call. With all functions of its pieces, a script for one job
would take noticeably longer.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from relay_server.engine import keys

_KEYS = {*keys.QUEUE_KEYS, *keys.NAMES_KEYS, *keys.SESSION_KEYS, "index"}


@dataclass(frozen=True, slots=True)
class Part:
    """One definition at the left margin of a piece: what it gives, and the names in its text."""

    names: tuple[str, ...]
    code: str
    mentions: frozenset[str]


@lru_cache(maxsize=256)
def parts_of(piece: str) -> tuple[Part, ...]:
    """The parts of a piece's text, in their order."""
    parts = []
    for code in re.split(r"^(?=local )", without_comments(piece), flags=re.MULTILINE)[1:]:
        head = re.match(r"local (?:function )?([\w, ]+)", code)
        assert head is not None, code
        parts.append(Part(tuple(head[1].replace(" ", "").split(",")), code.strip(), mentioned(code)))
    return tuple(parts)


def needed(code: str, pieces: Iterable[str]) -> list[Part]:
    """The parts of these pieces that a text reaches, directly or through others, in their order."""
    parts = [part for piece in pieces for part in parts_of(piece)]
    by_name = {name: part for part in parts for name in part.names}
    reached: set[Part] = set()
    names = mentioned(without_comments(code))
    while more := {by_name[name] for name in names if name in by_name} - reached:
        reached |= more
        names = frozenset().union(*(part.mentions for part in more))
    return [part for part in parts if part in reached]


def without_comments(text: str) -> str:
    """The text of Lua that has no -- in its strings."""
    return re.sub(r"--[^\n]*", "", text)


def mentioned(code: str) -> frozenset[str]:
    """Names in a text, without fields and strings."""
    return frozenset(re.findall(r"(?<![.\w])[a-zA-Z_]\w*\b(?!\s*=[^=])", re.sub(r'"[^"\n]*"', '""', code)))


def touched(codes: Iterable[str]) -> set[str]:
    """The keys that texts name together: as `key.ready`, or as "ready" where one of them has `key[…]`.

    There every string that is the name of a key counts, except one that is assigned: `word = "ready"`. One that means
    something else counts as well, such as the counter in `count(w, "dead", 1)`.
    """
    texts = [without_comments(code) for code in codes]
    names = set(re.findall(r"\bkey\.(\w+)", "\n".join(texts)))
    if any("key[" in text for text in texts):
        names |= _KEYS & set(re.findall(r'(?<![^=~]= )"(\w+)"', "\n".join(texts)))
    return names
