"""The state machine: whatever producers, workers, loops, operators and faults may do, to engine and model alike.

After every step the reply, a picture of all that Redis holds, every time to live and the audit must be what the model
says: I1, I2, I3, I13 by the picture; I4 to I12, I14 and I17 because the model keeps them; I10 because lost replies are
asked for again. Full jitter is the one choice that the model does not make: the engine's delay must lie within
[0, bound] and is taken over.
"""

from collections.abc import Collection

from tests.stateful.machine.faults import Faults
from tests.stateful.machine.operators import Operators
from tests.stateful.machine.producers import Producers
from tests.stateful.machine.servers import Servers
from tests.stateful.machine.steps import BODY_BYTES_MAX
from tests.stateful.machine.workers import Workers

__all__ = ["BODY_BYTES_MAX", "Machine", "narrowed"]


class Machine(Producers, Workers, Servers, Operators, Faults):
    """All rules. Subclasses set `world`, and may set the rest or drop rules."""


def narrowed(
    *, without: Collection[str] = (), only: Collection[str] = (), **attributes: object
) -> type[Machine]:
    """The same machine with fewer rules."""
    rules = {name for name in dir(Machine) if hasattr(getattr(Machine, name), "hypothesis_stateful_rule")}
    unknown = {*without, *only} - rules
    assert not unknown, f"no such rules: {unknown}"
    dropped = rules - set(only) if only else without
    return type("Narrowed", (Machine,), {**dict.fromkeys(dropped), **attributes})
