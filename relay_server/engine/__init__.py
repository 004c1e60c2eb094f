"""The queue engine: every transition of a job is one Lua script, and nothing else moves a job."""

from relay_server.engine.engine import Engine, make_engine
from relay_server.engine.names import Names
from relay_server.engine.operations import Operations
from relay_server.engine.roster import Roster
from relay_server.engine.scripts import ScriptRunner
from relay_server.engine.store_format import FORMAT, StoreFormat
from relay_server.engine.transitions import CLAIMED_BODIES_BYTES_MAX, Transitions
from relay_server.engine.wakeups import Wakeups

__all__ = [
    "CLAIMED_BODIES_BYTES_MAX",
    "FORMAT",
    "Engine",
    "Names",
    "Operations",
    "Roster",
    "ScriptRunner",
    "StoreFormat",
    "Transitions",
    "Wakeups",
    "make_engine",
]
