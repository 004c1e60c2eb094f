"""What the text of a Lua script and of the pieces that it uses mentions: keys, arguments, functions of other files."""

import re
from dataclasses import dataclass
from functools import cached_property
from importlib import resources

from relay_server.engine import keys

LUA = resources.files("relay_server.engine").joinpath("lua")
KEYS = {*keys.QUEUE_KEYS, *keys.NAMES_KEYS, *keys.SESSION_KEYS, "index"}
_TOP = re.compile(r"^(?=local )", re.MULTILINE)


@dataclass(frozen=True)
class LuaFile:
    """A script or a piece of lib/, read as text: good enough for code in the style of this folder."""

    name: str
    text: str

    def tag(self, tag: str) -> list[str]:
        """The words of a tag of the header; of a key and of an argument the name alone."""
        found = re.findall(rf"^-- @{tag} +(.*)$", self.text, re.MULTILINE)
        if tag in ("key", "arg"):
            return [line.split()[0] for line in found]
        return " ".join(found).split()

    @cached_property
    def code(self) -> str:
        return re.sub(r"--[^\n]*", "", self.text)

    @cached_property
    def parts(self) -> dict[str, str]:
        """Each name that is defined at the left margin, and its definition."""
        found = {}
        for part in _TOP.split(self.code)[1:]:
            head = re.match(r"local (?:function (\w+)|([\w, ]+?)(?: =|\n|$))", part)
            assert head is not None, part
            found.update(dict.fromkeys(re.split(r",\s*", head[1] or head[2]), part))
        return found

    @cached_property
    def own(self) -> set[str]:
        """All names that the file itself gives: locals, parameters, arguments."""
        lists = re.findall(r"\blocal (?!function)([\w, ]+)|\bfor ([\w, ]+?) (?:in\b|=)", self.code)
        lists += re.findall(r"\bfunction\s*(\w*)\(([^)]*)\)", self.code)
        return {*re.findall(r"\w+", " ".join(" ".join(pair) for pair in lists)), *self.tag("arg")}


def mentioned(code: str) -> set[str]:
    """Names in a text, without fields and strings."""
    return set(re.findall(r"(?<![.\w])[a-zA-Z_]\w*\b(?!\s*=[^=])", re.sub(r'"[^"\n]*"', '""', code)))


def keys_in(code: str, *, by_name: bool) -> set[str]:
    """Keys that a text names: `key.ready`, or "ready" where it is not just a value that something gets."""
    found = set(re.findall(r"\bkey\.(\w+)", code))
    if by_name:
        found |= {word for word in re.findall(r'(?<![^=~]= )"(\w+)"', code) if word in KEYS}
    return found


def files(folder: str = "") -> dict[str, LuaFile]:
    place = LUA.joinpath(folder) if folder else LUA
    return {
        name: LuaFile(name, file.read_text())
        for file in place.iterdir()
        if file.name.endswith(".lua")
        for name in [file.name.removesuffix(".lua")]
    }


LIBRARY = files("lib")
OWNER = {part: piece.name for piece in LIBRARY.values() for part in piece.parts}


def used_by(code: str, own: set[str]) -> set[str]:
    """The names of lib/ that a text mentions and does not give itself."""
    return (mentioned(code) & OWNER.keys()) - own


def reached(file: LuaFile) -> set[str]:
    """All names of lib/ that a script comes to, directly or through others."""
    found: set[str] = set()
    more = used_by(file.code, file.own)
    while more:
        found |= more
        more = {
            name for part in more for name in mentioned(LIBRARY[OWNER[part]].parts[part]) & OWNER.keys()
        } - found
    return found


def touched(file: LuaFile) -> set[str]:
    """The keys that a script names, and those that the parts of lib/ name to which it comes."""
    codes = [file.code, *(LIBRARY[OWNER[part]].parts[part] for part in reached(file))]
    by_name = any("key[" in code for code in codes)
    return set().union(*(keys_in(code, by_name=by_name) for code in codes))
