"""The reference model: what one queue promises, in plain Python, written from the contract and not from the Lua.

It stands for I1 to I12, I14 and I17 as one small program: a job is one value in one dict, so it cannot be in two places
(I1, I2); every method is one whole step (I3, I9); a batch is its entries one after another. There is no Redis, no clock
(`now` is set by whoever drives it) and no chance: `backoff` decides what full jitter may choose.
"""

from tests.stateful.model.claims import Claims
from tests.stateful.model.operators import Operators
from tests.stateful.model.producers import Producers
from tests.stateful.model.settling import Settling

__all__ = ["Model"]


class Model(Producers, Claims, Settling, Operators):
    """One queue and all that may happen to it."""

    __slots__ = ()
