"""The scripts and the pieces of lib/ as files: what their headers say, and what their texts mention."""

import re
from dataclasses import dataclass
from functools import cached_property
from importlib import resources

from relay_server.engine.lua_parts import mentioned, parts_of, without_comments

LUA = resources.files("relay_server.engine").joinpath("lua")


@dataclass(frozen=True)
class LuaFile:
    """A script or a piece of lib/, read as text: good enough for code in the style of this folder."""

    name: str
    text: str

    def tag(self, tag: str) -> list[str]:
        """The words of a tag of the header; of an argument the name alone."""
        found = re.findall(rf"^-- @{tag} +(.*)$", self.text, re.MULTILINE)
        return [line.split()[0] for line in found] if tag == "arg" else " ".join(found).split()

    @cached_property
    def code(self) -> str:
        return without_comments(self.text)

    @cached_property
    def own(self) -> set[str]:
        """All names that the file itself gives: locals, parameters, arguments."""
        lists = re.findall(r"\blocal (?!function)([\w, ]+)|\bfor ([\w, ]+?) (?:in\b|=)", self.code)
        lists += re.findall(r"\bfunction\s*(\w*)\(([^)]*)\)", self.code)
        return {*re.findall(r"\w+", " ".join(" ".join(pair) for pair in lists)), *self.tag("arg")}


def files(folder: str = "") -> dict[str, LuaFile]:
    place = LUA.joinpath(folder) if folder else LUA
    return {
        name: LuaFile(name, file.read_text())
        for file in place.iterdir()
        if file.name.endswith(".lua")
        for name in [file.name.removesuffix(".lua")]
    }


LIBRARY = files("lib")
OWNER = {
    name: piece for piece, file in LIBRARY.items() for part in parts_of(file.text) for name in part.names
}


def pieces_mentioned(file: LuaFile) -> set[str]:
    """The pieces whose names a file mentions and does not give itself."""
    return {OWNER[name] for name in (mentioned(file.code) & OWNER.keys()) - file.own}
