"""How the free slots of one session are shared among its queues, by weight."""

import math
from collections.abc import Iterable


def share_of(mine: str, slots: int, queues: dict[str, tuple[float, int]]) -> int:
    """How many of the slots the queue `mine` gets if the slots are given one by one, each to the queue that was served
    least for its weight so far.

    `queues`: by name, how much each was served for its weight, and the weight.
    """
    given = dict.fromkeys(queues, 0)
    if slots > len(queues):
        # Every queue gets its slots up to `level`. Rounding up may give each queue one slot too many, so the level is
        # computed for that many slots fewer.
        level = _level(slots - len(queues), queues.values())
        given = {
            name: max(0, math.ceil((level - served) * weight)) for name, (served, weight) in queues.items()
        }
    for _ in range(slots - sum(given.values())):
        name = min(queues, key=lambda name: queues[name][0] + given[name] / queues[name][1])
        given[name] += 1
    return given[mine]


def _level(slots: int, queues: Iterable[tuple[float, int]]) -> float:
    """The level to which `slots`, were they divisible, would raise the queues that were served least."""
    weights = filled = 0.0  # filled: the sum of served x weight of the queues below the level
    level = 0.0
    for served, weight in sorted(queues):
        if weights and level <= served:
            break
        weights, filled = weights + weight, filled + served * weight
        level = (slots + filled) / weights
    return level
