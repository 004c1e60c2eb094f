"""Gives a new queue the settings that the server's configuration has for its name."""

from collections.abc import Callable, Mapping
from contextlib import suppress

from relay_server import errors
from relay_server.engine.scripts import ScriptRunner


class FirstSettings:
    """`settings_of` says which settings a queue of that name begins with."""

    def __init__(
        self,
        scripts: ScriptRunner,
        settings_of: Callable[[str], Mapping[str, float]] = lambda queue: {},
    ) -> None:
        self._scripts = scripts
        self._settings_of = settings_of

    async def begin(self, queue: str, *, again: bool = False) -> None:
        """Sets them, unless the queue is not new. `again`: it was forgotten a moment ago."""
        settings = self._settings_of(queue)
        if not settings:
            return
        rows = [(name, repr(value)) for name, value in settings.items()]
        with suppress(errors.WrongState):  # a damaged queue is not new, and its next user is told so
            await self._scripts.call("begin", queue, again="1" if again else "0", rows=rows)
