"""The record of one scenario: everything the kit saw, in order and with its time, and the language to ask for it."""

import asyncio
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One thing that was seen. `at` is in seconds of the monotonic clock."""

    kind: str
    at: float
    fields: Mapping[str, Any]

    def get(self, path: str) -> Any:
        """A field, or one inside a mapping ("headers.traceparent"); None when there is none."""
        value: Any = self.fields.get(path)
        if value is None and "." in path:
            outer, inner = path.split(".", 1)
            value = (self.fields.get(outer) or {}).get(inner)
        return value

    def __str__(self) -> str:
        shown = ", ".join(f"{name}={_short(value)}" for name, value in self.fields.items())
        return f"{self.kind}({shown})"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


@dataclass(slots=True)
class Record:
    """Grows while a scenario is played; one event loop writes and reads it."""

    began: float = field(default_factory=time.monotonic)
    seen: list[Seen] = field(default_factory=list)
    _more: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, kind: str, /, **fields: Any) -> Seen:
        """Notes something that happens now."""
        seen = Seen(kind=kind, at=time.monotonic(), fields=fields)
        self.seen.append(seen)
        self._more.set()
        return seen

    def find(self, kinds: Iterable[str], where: Mapping[str, Any], since: int = 0) -> list[Seen]:
        """What matches, in order; `since` is a length that the record had."""
        wanted = set(kinds)
        return [one for one in self.seen[since:] if one.kind in wanted and matches(one, where)]

    async def until(self, condition: Callable[[], bool], within_s: float) -> bool:
        """Waits until the condition holds; False when it did not in time. Asked again after whatever is seen."""
        ends = time.monotonic() + within_s
        while not condition():
            self._more.clear()
            try:
                async with asyncio.timeout(max(0.0, ends - time.monotonic())):
                    await self._more.wait()
            except TimeoutError:
                return condition()
        return True

    def tell(self, last: int = 40) -> str:
        """The end of the record for people, times in ms since its beginning."""
        lines = [f"{(one.at - self.began) * 1000:8.0f} ms  {one}" for one in self.seen[-last:]]
        if len(self.seen) > last:
            lines.insert(0, f"            ({len(self.seen) - last} earlier)")
        return "\n".join(lines)


def matches(seen: Seen, where: Mapping[str, Any]) -> bool:
    """Whether every field is as asked: equal, or as an operator says ({"least": 1}, {"most": 5}, {"matches": "…"},
    {"in": […]}, {"not": …})."""
    return all(_holds(seen.get(path), wanted) for path, wanted in where.items())


def _holds(value: Any, wanted: Any) -> bool:
    if not isinstance(wanted, dict):
        return bool(value == wanted)
    for operator, operand in wanted.items():
        match operator:
            case "least":
                held = value is not None and value >= operand
            case "most":
                held = value is not None and value <= operand
            case "matches":
                held = re.search(operand, str(value)) is not None
            case "in":
                held = value in operand
            case "not":
                held = value != operand
            case _:
                # A mapping that is no operator is compared as it is.
                return bool(value == wanted)
        if not held:
            return False
    return True
