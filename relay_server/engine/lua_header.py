"""Reads the header of a Lua script, which names keys, arguments and replies. A header that lies does not load."""

import keyword
import re
from dataclasses import dataclass

from relay_server.engine.lua_parts import needed, touched

_TAGS = {"key", "keys", "arg", "each", "number", "many", "returns", "reply", "row", "use"}
# Words that a call or a reply already has.
_RESERVED = {"rows", "extra_keys", "jobs"}
_KEY_KINDS = {"zset", "hash", "channel"}
_WELL_FORMED = re.compile(r"-- @(key \w+ +\w+|arg \w+|(each|reply|row|use) [\w ]+$|number [\w?+ ]+$|many$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The tags of a script. A reply has the values named by `reply`, then rows of those named by `row`."""

    keys: tuple[tuple[str, str], ...]  # name, type
    args: tuple[str, ...]
    each: tuple[str, ...]
    numbers: tuple[str, ...]
    extra_keys: bool
    many: bool
    reply: tuple[str, ...]
    row: tuple[str, ...]


def read_header(name: str, shebang: str, body: str, library: dict[str, str]) -> Header:
    """Raises ValueError for a header that would be read as something else than it says."""
    header = Header(
        keys=tuple(re.findall(r"^-- @key (\w+) +(\w+\??)", body, re.MULTILINE)),
        args=tuple(re.findall(r"^-- @arg (\w+)", body, re.MULTILINE)),
        each=_words("each", body),
        numbers=_words("number", body),
        extra_keys=bool(re.search(r"^-- @keys ", body, re.MULTILINE)),
        many=bool(re.search(r"^-- @many$", body, re.MULTILINE)),
        reply=_words("reply", body),
        row=_words("row", body),
    )
    _check(name, shebang, body, header, library)
    return header


def pieces_of(text: str, library: dict[str, str]) -> list[str]:
    """The texts of the pieces of lib/ that a text uses, each behind those that it uses itself."""
    pieces: list[str] = []
    for name in " ".join(re.findall(r"^-- @use ([\w ]+)$", text, re.MULTILINE)).split():
        piece = library[name]
        pieces += [one for one in (*pieces_of(piece, library), piece) if one not in pieces]
    return pieces


def _words(tag: str, body: str) -> tuple[str, ...]:
    """The words behind a tag, over all lines that have it."""
    return tuple(" ".join(re.findall(rf"^-- @{tag} ([\w?+ ]+)$", body, re.MULTILINE)).split())


def _check(name: str, shebang: str, body: str, header: Header, library: dict[str, str]) -> None:
    """Raises ValueError for a header that the loader would read as something else than it says."""
    names = [*header.args, *header.each]
    uses = _words("use", body)
    tags = re.findall(r"^-- @(\w*)", body, re.MULTILINE)
    wrong = [f"unknown tag @{tag}" for tag in tags if tag not in _TAGS]
    if not shebang.startswith("#!lua"):
        wrong.append("the first line is not #!lua")
    if "\n-- @returns " not in "\n" + body:
        wrong.append("@returns is missing")
    wrong += [f"@use {piece}: no such file in lib" for piece in uses if piece not in library]
    wrong += [f"@number {n}: no such @arg or @each" for n in header.numbers if n.rstrip("?+") not in names]
    wrong += [
        f"@key {key}: not zset, hash or channel"
        for key, kind in header.keys
        if kind.removesuffix("?") not in _KEY_KINDS
    ]
    wrong += [f"{n} is declared twice" for n in sorted(set(names)) if names.count(n) > 1]
    declared = {key for key, _ in header.keys}
    if all(piece in library for piece in uses):
        named = touched([body, *(part.code for part in needed(body, pieces_of(body, library)))])
        wrong += [f"key.{key} has no @key" for key in sorted(named - declared)]
        wrong += [f"@key {key}: nothing touches it" for key in sorted(declared - named)]
    malformed = [
        line
        for line in re.findall(r"^-- @(?:key|arg|each|number|many|reply|row|use)\b.*", body, re.MULTILINE)
        if not _WELL_FORMED.match(line)
    ]
    wrong += [f"cannot be read: {line}" for line in malformed]
    if "many" in tags and {"each", "keys"}.intersection(tags):
        wrong.append("@many wants as many keys and arguments for each queue, so neither @each nor @keys")
    answers = [*header.reply, *header.row]
    wrong += [f"{n} is answered twice" for n in sorted(set(answers)) if answers.count(n) > 1]
    wrong += [
        f"{n} may not be a name: calls and replies use it" for n in _RESERVED.intersection(names + answers)
    ]
    wrong += [
        f"{n} may not be a name: Python refuses it" for n in answers if keyword.iskeyword(n) or n[0] == "_"
    ]
    if not answers:
        wrong.append("neither @reply nor @row says how wide a reply is")
    if wrong:
        raise ValueError(f"{name}.lua: " + "; ".join(wrong))
