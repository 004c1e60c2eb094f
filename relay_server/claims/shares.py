"""How the free slots of one session are shared among its queues, by weight."""

import math
from collections.abc import Iterable


def share_of(mine: str, slots: int, queues: dict[str, tuple[float, int]]) -> int:
    """How many of the slots `mine` gets when each goes to the queue that was served least by then.

    `queues`: by name, how much each was served for its weight, and the weight.
    """
    given = dict.fromkeys(queues, 0)
    if slots > len(queues):
        # All turns below a level are surely had; whole turns round up, so the level leaves one slot a queue.
        level = _level(slots - len(queues), queues.values())
        given = {
            name: max(0, math.ceil((level - served) * weight)) for name, (served, weight) in queues.items()
        }
    for _ in range(slots - sum(given.values())):
        name = min(queues, key=lambda name: queues[name][0] + given[name] / queues[name][1])
        given[name] += 1
    return given[mine]


def _level(slots: int, queues: Iterable[tuple[float, int]]) -> float:
    """How far so many slots would lift those that were served least, could slots be cut to any size."""
    weights = filled = 0.0  # filled: the sum of served x weight of those below the level
    level = 0.0
    for served, weight in sorted(queues):
        if weights and level <= served:
            break
        weights, filled = weights + weight, filled + served * weight
        level = (slots + filled) / weights
    return level
