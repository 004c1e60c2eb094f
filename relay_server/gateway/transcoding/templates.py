"""Reads the path templates of google.api.http, and matches paths against them.

Template = "/" Segments [ ":" verb ]      Segments = Segment { "/" Segment }
Segment  = "*" | "**" | literal | "{" field.path [ "=" Segments ] "}"
"""

import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

_LITERAL = re.compile(r"[^/{}*:=]+")
_FIELD_PATH = re.compile(r"[a-z_][a-z0-9_]*(?:\.[a-z_][a-z0-9_]*)*")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_SLASH = re.compile(r"%2[Ff]")

# The kinds of a segment, the most exact first: routes are tried in this order.
_EXACT, _ONE, _MANY = 0, 1, 2


class BadTemplate(ValueError):
    """A malformed template. The message quotes it and gives the place."""


class BadPath(ValueError):
    """A path whose escapes are broken or not UTF-8."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A template, ready to match. Sorted by `rank`, the more exact ones come first."""

    text: str
    verb: str
    variables: tuple[str, ...]
    rank: tuple[object, ...]
    _pattern: re.Pattern[str]
    _many: frozenset[str]

    def match(self, path: str) -> dict[str, str] | None:
        """The decoded value of each variable, by its field path; None when the path is another one.

        `path` is as it was sent, escapes and all: an escaped slash separates nothing. Raises BadPath.
        """
        found = self._pattern.fullmatch(path)
        if found is None:
            return None
        return {
            name: _decoded(raw, keep_slash=name in self._many)
            for name, raw in zip(self.variables, found.groups(), strict=True)
        }


def parse_template(text: str) -> Template:
    """Raises BadTemplate."""
    return _Parser(text).parse()


class _Parser:
    """Goes through the text once and collects the pattern."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._ranks: list[int] = []
        self._variables: list[str] = []
        self._many: set[str] = set()

    def parse(self) -> Template:
        self._expect("/")
        pattern = "/" + self._segments()
        verb = ""
        if self._next(":"):
            verb = self._literal()
            pattern += ":" + re.escape(verb)
        if self._at < len(self._text):
            raise self._error("the end")
        return Template(
            text=self._text,
            verb=verb,
            variables=tuple(self._variables),
            rank=(tuple(self._ranks), not verb, self._text),
            _pattern=re.compile(pattern, re.DOTALL),
            _many=frozenset(self._many),
        )

    def _segments(self, *, inside: bool = False) -> str:
        pattern = self._segment(inside=inside)
        while self._next("/"):
            if self._ranks[-1] == _MANY:
                raise self._error("the end, for ** is the last segment")
            pattern += "/" + self._segment(inside=inside)
        return pattern

    def _segment(self, *, inside: bool) -> str:
        if self._next("**"):
            self._ranks.append(_MANY)
            return ".*"
        if self._next("*"):
            self._ranks.append(_ONE)
            return "[^/]+"
        if not inside and self._next("{"):
            return self._variable()
        self._ranks.append(_EXACT)
        return re.escape(self._literal())

    def _variable(self) -> str:
        found = _FIELD_PATH.match(self._text, self._at)
        if found is None:
            raise self._error("the path of a field")
        name, self._at, before = found[0], found.end(), len(self._ranks)
        if name in self._variables:
            raise self._error(f"another name: {name} is taken")
        self._variables.append(name)
        if self._next("="):
            inner = self._segments(inside=True)
            if len(self._ranks) - before > 1 or self._ranks[-1] == _MANY:
                self._many.add(name)
        else:
            self._ranks.append(_ONE)
            inner = "[^/]+"
        self._expect("}")
        return f"({inner})"

    def _literal(self) -> str:
        found = _LITERAL.match(self._text, self._at)
        if found is None:
            raise self._error("a literal")
        self._at = found.end()
        return found[0]

    def _next(self, text: str) -> bool:
        if not self._text.startswith(text, self._at):
            return False
        self._at += len(text)
        return True

    def _expect(self, text: str) -> None:
        if not self._next(text):
            raise self._error(repr(text))

    def _error(self, wanted: str) -> BadTemplate:
        return BadTemplate(f"path template {self._text!r}: expected {wanted} at character {self._at + 1}")


def _decoded(raw: str, *, keep_slash: bool) -> str:
    if _BAD_ESCAPE.search(raw):
        raise BadPath(f"{raw[:80]!r} has a % that is not followed by two hexadecimal digits")
    try:
        # In a value of several segments an escaped slash stays escaped, or it would look like a separator.
        parts = _SLASH.split(raw) if keep_slash else [raw]
        return "%2F".join(unquote_to_bytes(part).decode() for part in parts)
    except UnicodeDecodeError:
        raise BadPath(f"{raw[:80]!r} is not UTF-8 once its escapes are read") from None
