"""A caller's identity, and its roles on queues."""

import re
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import Enum
from fnmatch import translate


class Role(Enum):
    """What a caller may do on a queue. OPERATOR includes VIEWER; no other role includes another."""

    PRODUCER = "producer"
    WORKER = "worker"
    VIEWER = "viewer"
    OPERATOR = "operator"


_ALSO = {Role.VIEWER: (Role.OPERATOR,)}


@dataclass(frozen=True, slots=True, eq=False)
class Principal:
    """A caller. `grants` gives the globs (`*`, `?`, `[a-c]`) of queue names on which it has each role."""

    name: str
    grants: Mapping[Role, tuple[str, ...]]
    _patterns: dict[Role, re.Pattern[str]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        patterns = {role: _pattern(self._globs(role)) for role in Role}
        object.__setattr__(self, "_patterns", patterns)

    @property
    def owner(self) -> str:
        """The name whose quotas count queues that it makes; empty: they count for no quota."""
        return "" if self is ANYONE else self.name

    def may(self, role: Role, queue: str) -> bool:
        """Whether it has the role on this queue."""
        return self._patterns[role].fullmatch(queue) is not None

    def may_somewhere(self, role: Role) -> bool:
        """Whether it has the role on any queue at all."""
        return bool(self._globs(role))

    def may_everywhere(self, role: Role) -> bool:
        """Whether it has the role on every queue, also on queues made later."""
        return "*" in self._globs(role)

    def visible(self, queues: Iterable[str]) -> list[str]:
        """The queues on which it is a viewer."""
        return [queue for queue in queues if self.may(Role.VIEWER, queue)]

    def _globs(self, role: Role) -> list[str]:
        return [glob for one in (role, *_ALSO.get(role, ())) for glob in self.grants.get(one, ())]


def _pattern(globs: list[str]) -> re.Pattern[str]:
    return re.compile("|".join(translate(glob) for glob in globs) or r"(?!)")


# Every caller of a server without a tokens file.
ANYONE = Principal("anyone", dict.fromkeys(Role, ("*",)))

# The caller of the running handler; set for each call, so that concurrent calls do not see each other's.
caller: ContextVar[Principal] = ContextVar("caller", default=ANYONE)
