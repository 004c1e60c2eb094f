"""Collects what is wrong with the fields of one request."""

from relay_server import errors

SHOWN_MAX = 20


class Problems:
    """Each problem with its field, the first 20. `done` and the 20th raise them as one InvalidField."""

    def __init__(self) -> None:
        self._found: list[tuple[str, str]] = []

    def add(self, field: str, text: str) -> None:
        self._found.append((field[:200], text))
        if len(self._found) == SHOWN_MAX:
            self.done()

    def done(self) -> None:
        if self._found:
            raise errors.InvalidField(self._found)
