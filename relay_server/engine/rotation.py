"""Goes round the names of all queues, so many a second: what nobody uses is looked at now and then, at bounded cost."""

import time
from collections.abc import Callable

from relay_server.engine.names import Names

PER_S = 50
# The first time round nothing is known yet, such as when the jobs of a queue are due.
FIRST_PER_S = 500
_OWED_MAX_S = 5.0


class Rotation:
    """`take` gives the names whose turn it is. Each name has its turn once a round; one of up to 500 at once."""

    def __init__(self, names: Names, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._names = names
        self._clock = clock
        self._cursor = 0
        self._owed = float(FIRST_PER_S)
        self._at = clock()
        self.rounds = 0

    async def take(self) -> list[str]:
        per_s = PER_S if self.rounds else FIRST_PER_S
        now = self._clock()
        self._owed = min(self._owed + (now - self._at) * per_s, max(FIRST_PER_S, per_s * _OWED_MAX_S))
        self._at = now
        if self._owed < 1:
            return []
        self._cursor, names = await self._names.scan(self._cursor, int(self._owed))
        self._owed -= len(names)  # a small store gives all at once, whatever was asked for
        if not self._cursor:
            self.rounds += 1
            self._owed = min(self._owed, 0.0)
        return names
