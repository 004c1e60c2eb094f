"""Collects what is wrong with the fields of one request, until an answer holds no more."""

from relay_server.errors import InvalidField

COUNT_MAX = 20
# gRPC sends them three times in its trailers, escaped; clients take 8 KiB of trailers and fail on more.
BYTES_MAX = 1400

_NAME_MAX = 200


class Violations:
    """`add` notes a violation; the first that does not fit ends the check of the request, which may hold thousands."""

    def __init__(self) -> None:
        self._found: list[tuple[str, str]] = []
        self._bytes = 0

    def add(self, field: str, text: str) -> None:
        """Notes one. Raises InvalidField with those before it when it does not fit; the first always fits."""
        field = field[:_NAME_MAX]
        self._bytes += len(f"{field}: {text}; ".encode())
        if self._found and (len(self._found) == COUNT_MAX or self._bytes > BYTES_MAX):
            raise InvalidField(self._found, more=True)
        self._found.append((field, text))

    def done(self) -> None:
        """Raises them all as one InvalidField, if there are any."""
        if self._found:
            raise InvalidField(self._found)
