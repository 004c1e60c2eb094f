"""Counts the entries of lists in a message's bytes without decoding it, and stops at the first one too many."""

from relay_server import errors
from relay_server.contract.bounds import Bounded, Place

# Unknown fields, which clients of a later contract send: so many in each message, and so many in all.
_UNKNOWN_MAX = 4
_UNKNOWN_IN_ALL_MAX = 100


class Malformed(ValueError):
    """The bytes are no message."""


class _Counts:
    """The counts of one list, or of all lists in one message that is not in a list."""

    __slots__ = ("below", "entries")

    def __init__(self) -> None:
        self.entries = 0
        self.below: dict[Bounded, _Counts] = {}


class _Scan:
    """One walk. Every field of the message counts against a bound, so the bounds also limit how long the walk takes."""

    def __init__(self, raw: bytes, *, deep: bool) -> None:
        self._raw = raw
        self._deep = deep
        self._totals: dict[Bounded, int] = {}
        self._others = _UNKNOWN_IN_ALL_MAX

    def start(self, place: Place, at: int, end: int, path: str) -> None:
        """A message that begins here."""
        self._others += place.others + _UNKNOWN_MAX
        self._walk(place, at, end, path, {})

    def _walk(self, place: Place, at: int, end: int, path: str, counts: dict[Bounded, _Counts]) -> None:
        """A message, or the next part of one: protobuf merges parts, so `counts` go on."""
        raw, fields, others = self._raw, place.fields, 0
        while at < end:
            tag = raw[at]
            at += 1
            if tag > 0x7F:
                tag, at = self._varint(at - 1)
            if tag & 7 == 2:
                size = raw[at]
                at += 1
                if size > 0x7F:
                    size, at = self._varint(at - 1)
                at += size
                field = fields.get(tag >> 3)
                if field is not None:
                    if at > end:
                        raise Malformed
                    self._enter(field, at - size, at, path, counts)
                others += field is None or field.entries is None
            else:
                at = self._past(tag & 7, at)
                others += 1
            if others > self._others:
                text = "has more fields than messages of this call have: give each of them once"
                raise errors.InvalidField([("request", text)])
        if at > end:
            raise Malformed
        self._others -= others

    def _enter(self, field: Bounded, at: int, end: int, path: str, counts: dict[Bounded, _Counts]) -> None:
        entries, below, count = field.entries, field.below, counts.get(field)
        if count is None:
            count = counts[field] = _Counts()
            if entries is None and below is not None:
                self._others += below.others + _UNKNOWN_MAX
        if entries is None:
            assert below is not None
            self._walk(below, at, end, f"{path}{field.name}.", count.below)
            return
        number = has = count.entries
        count.entries += 1
        if entries.in_all:
            has = self._totals.get(field, 0)
            self._totals[field] = has + 1
        if has >= entries.most:
            raise errors.InvalidField([(f"{path}{field.name}", entries.wrong("more"))])
        if below is not None and self._deep:
            self.start(below, at, end, f"{path}{field.name}[{number}].")

    def _past(self, kind: int, at: int) -> int:
        """The end of a number of this kind."""
        if kind == 0:
            return self._varint(at)[1]
        if kind == 1:
            return at + 8
        if kind == 5:
            return at + 4
        raise Malformed  # groups, which the contract has none of

    def _varint(self, at: int) -> tuple[int, int]:
        """A number, and where it ends."""
        value = 0
        for shift in range(0, 70, 7):
            byte = self._raw[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, at
        raise Malformed


def check(place: Place, raw: bytes, *, deep: bool) -> None:
    """Raises InvalidField for a list with more entries than it may have, and Malformed.

    Not `deep`: lists in the entries of lists are left alone.
    """
    try:
        _Scan(raw, deep=deep).start(place, 0, len(raw), "")
    except IndexError:
        raise Malformed from None
