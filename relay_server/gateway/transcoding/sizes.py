"""The largest JSON of a request whose message is within its bounds."""

from typing import Any

from google.protobuf.descriptor import Descriptor

from relay_server.contract.bounds import Bounds, Place
from relay_server.gateway.transcoding import payloads

# JSON is larger than the message: base64, escapes, names, and blanks when it is printed for people.
_TIMES, _MORE_BYTES = 4, 16 << 10
# Values are counted by brackets and commas, so that an object in a list counts as two.
_COUNTED, _MORE_VALUES = 2, 1000


def bytes_max(bounds: Bounds) -> int:
    return _TIMES * bounds.bytes_max + _MORE_BYTES


def values_max(descriptor: Descriptor, bounds: Bounds) -> int | None:
    """None for a message with a payload: as payloadJson that may have any number of values."""
    values = _values(descriptor, bounds.place, 1)
    return None if values is None else _COUNTED * values + _MORE_VALUES


def _values(descriptor: Any, place: Place | None, times: int) -> int | None:
    """The values of `times` messages."""
    if payloads.sugared(descriptor):
        return None
    total = 0
    for field in descriptor.fields:
        total += times
        bounded = place.fields.get(field.number) if place is not None else None
        entries = bounded.entries if bounded is not None else None
        inner = times
        if entries is not None:
            inner = entries.most if entries.in_all else times * entries.most
            total += inner
        if field.message_type is not None:
            below = _values(field.message_type, bounded.below if bounded is not None else None, inner)
            if below is None:
                return None
            total += below
    return total
