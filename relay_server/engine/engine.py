"""Puts the engine together: the classes through which a server uses its store."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from relay_server.engine.first_settings import FirstSettings
from relay_server.engine.names import NameLimits, Names
from relay_server.engine.operations import Operations
from relay_server.engine.roster import Roster
from relay_server.engine.scripts import ScriptRunner
from relay_server.engine.transitions import Transitions


@dataclass(frozen=True, slots=True)
class Engine:
    """These classes, side by side. Whoever uses the engine takes those that it needs."""

    scripts: ScriptRunner
    names: Names
    roster: Roster
    transitions: Transitions
    operations: Operations


def make_engine(
    scripts: ScriptRunner,
    *,
    server_id: str,
    name_limits: NameLimits | None = None,
    first_settings: Callable[[str], Mapping[str, float]] = lambda queue: {},
    observe_batch: Callable[[str, int], None] = lambda op, jobs: None,
) -> Engine:
    first = FirstSettings(scripts, first_settings)
    names = Names(scripts, limits=name_limits or NameLimits(), begin=first.begin)
    return Engine(
        scripts=scripts,
        names=names,
        roster=Roster(scripts),
        transitions=Transitions(scripts, names, server_id=server_id, observe_batch=observe_batch),
        operations=Operations(scripts, names, first),
    )
