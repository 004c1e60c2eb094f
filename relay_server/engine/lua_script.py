"""Turns the Lua files into the scripts that Redis gets, and knows what a call of each takes and what it answers."""

import hashlib
from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from importlib import resources
from itertools import chain, islice
from typing import Any

from relay_server.engine.lua_header import Header, pieces_of, read_header
from relay_server.engine.lua_parts import needed

Arg = bytes | str | int | float
Row = Sequence[Arg] | Arg


class Script:
    """One transition. `many` is the script that does the same for many queues, if its header says `@many`."""

    def __init__(self, name: str, header: Header, source: str, many: "Script | None" = None) -> None:
        self.name = name
        self.header = header
        self.source = source
        self.sha = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
        self.many = many
        self.keys = tuple(key for key, _ in header.keys)
        self.filled = frozenset(header.args) & {"now", "seed"}
        self._given = frozenset(header.args) - self.filled
        self._reply_type: Callable[..., Any] = namedtuple(f"reply_of_{name}", (*header.reply, "rows"))  # type: ignore[misc]

    @property
    def sources(self) -> list[str]:
        return [self.source, *(() if self.many is None else (self.many.source,))]

    def argv(
        self, filled: Mapping[str, Arg], given: Mapping[str, Arg], rows: Sequence[Row] = ()
    ) -> list[Arg]:
        """The arguments of a call in the order of the header. Raises TypeError for names or rows that do not fit.

        With one name in `@each` a row is the value itself, without a tuple around it.
        """
        if given.keys() != self._given:
            raise TypeError(self._names_differ(given))
        argv = [filled[name] if name in self.filled else given[name] for name in self.header.args]
        width = len(self.header.each)
        if width == 1:
            argv += rows  # type: ignore[arg-type]
        else:
            argv += chain.from_iterable(rows)  # type: ignore[arg-type]
            if len(argv) != len(self.header.args) + width * len(rows):  # a look at each row costs too much
                raise TypeError(f"{self.name}: each row is ({', '.join(self.header.each)})")
        return argv

    def _names_differ(self, given: Mapping[str, Arg]) -> str:
        missing = [f"{name} is missing" for name in sorted(self._given - given.keys())]
        unknown = [f"{name} is no argument to give" for name in sorted(given.keys() - self._given)]
        return f"{self.name}: " + ", ".join(missing + unknown)

    def read(self, reply: Sequence[bytes]) -> Any:
        """A tuple with the names of `@reply`, and `rows`: tuples as wide as `@row`, or values when that has one name.

        Raises ValueError for a reply of another width.
        """
        head, width = len(self.header.reply), len(self.header.row)
        extra = len(reply) - head
        if extra < 0 or (extra % width if width else extra):
            raise ValueError(f"{self.name} answered {len(reply)} values, which is not what its header says")
        if width == 1:
            return self._reply_type(*reply[:head], reply[head:])
        values: Iterator[bytes] = iter(reply)
        named = islice(values, head)
        return self._reply_type(*named, list(zip(*[values] * width, strict=True)))


@cache
def load_scripts() -> Mapping[str, Script]:
    """All scripts of the package, by name. They are read once in a process."""
    folder = resources.files("relay_server.engine").joinpath("lua")
    library = {
        file.name.removesuffix(".lua"): file.read_text()
        for file in folder.joinpath("lib").iterdir()
        if file.name.endswith(".lua")
    }
    return {
        script.name: script
        for file in folder.iterdir()
        if file.name.endswith(".lua")
        for script in [bind(file.name.removesuffix(".lua"), file.read_text(), library)]
    }


def bind(name: str, text: str, library: dict[str, str]) -> Script:
    """Joins a script with the pieces it uses and turns the names of its header into Lua locals."""
    shebang, _, body = text.partition("\n")
    header = read_header(name, shebang, body, library)
    parts = [
        shebang,
        *_prelude(header),
        *(part.code for part in needed(body, pieces_of(body, library))),
        body,
    ]
    many = Script(name, header, _for_many(parts, header)) if header.many else None
    return Script(name, header, "\n".join(parts), many)


def _prelude(header: Header) -> list[str]:
    names = [name for name, _ in header.keys]
    args, each = header.args, header.each
    lines = [
        "local key = {" + ", ".join(f"{key} = KEYS[{i}]" for i, key in enumerate(names, 1)) + "}",
        # A key of a wrong type would fail half-way through the writes; scripts have no rollback.
        *(
            f'do local t = redis.call("TYPE", key.{key}).ok if t ~= "none" and t ~= "{kind}" then '
            f'return redis.error_reply("RELAYTYPE {key} is a " .. t) end end'
            for key, kind in header.keys
            if kind != "channel" and not kind.endswith("?")  # which is checked where it is used
        ),
        *_argument_checks(args, each, header.numbers),
    ]
    if args:
        lines.append(f"local {', '.join(args)} = " + ", ".join(f"ARGV[{i}]" for i in range(1, len(args) + 1)))
    if header.extra_keys:
        lines.append(
            f"local extra_keys = {{}} for i = {len(names) + 1}, #KEYS do extra_keys[#extra_keys + 1] = KEYS[i] end"
        )
    if each:
        values = ", ".join(f"ARGV[i + {offset}]" for offset in range(len(each)))
        lines.append(
            f"local argc = #ARGV local function each() local i = {len(args) + 1 - len(each)} "
            f"return function() i = i + {len(each)} if i <= argc then return {values} end end end"
        )
    return lines


def _for_many(parts: Sequence[str], header: Header) -> str:
    """The script as a function that is called for each of many queues. One that fails has its error as its reply."""
    shebang, *body = parts
    keys, args = len(header.keys), len(header.args)
    return "\n".join(
        (
            shebang,
            "local function one(KEYS, ARGV)",
            *body,
            "end",
            "local function part(list, number, size)",
            "  local values = {} for i = 1, size do values[i] = list[number * size + i] end return values",
            "end",
            "local replies = {}",
            f"for number = 0, #KEYS / {keys} - 1 do",
            f"  local ok, reply = pcall(one, part(KEYS, number, {keys}), part(ARGV, number, {args}))",
            '  if not ok and type(reply) ~= "table" then reply = redis.error_reply(tostring(reply)) end',
            "  replies[number + 1] = reply",
            "end",
            "return replies",
        )
    )


def _argument_checks(args: tuple[str, ...], each: tuple[str, ...], numbers: Sequence[str]) -> list[str]:
    """Lua that refuses arguments on which a script would fail half-way. A number marked ? may be "", + is >= 1."""
    marks = {number.rstrip("?+"): number[len(number.rstrip("?+")) :] for number in numbers}
    surplus = f"(#ARGV - {len(args)}) % {len(each)} ~= 0" if each else f"#ARGV > {len(args)}"
    checks = [
        f'if #ARGV < {len(args)} or {surplus} then return redis.error_reply("RELAYARG not all are given") end'
    ]
    checks += [
        _number_check(name, f"ARGV[{i}]", marks[name]) for i, name in enumerate(args, 1) if name in marks
    ]
    inner = [
        _number_check(name, f"ARGV[i + {i}]", marks[name]) for i, name in enumerate(each) if name in marks
    ]
    if inner:
        checks.append(f"for i = {len(args) + 1}, #ARGV, {len(each)} do {' '.join(inner)} end")
    return checks


def _number_check(name: str, value: str, marks: str) -> str:
    empty = f'{value} == "" or ' if "?" in marks else ""
    least = "1" if "+" in marks else "-2^53"
    return (
        f"do local n = tonumber({value}) if not ({empty}(n and n >= {least} and n <= 2^53)) then "
        f'return redis.error_reply("RELAYARG {name} is not a number that fits") end end'
    )
