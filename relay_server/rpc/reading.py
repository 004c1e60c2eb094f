"""Reads a request from its bytes, and refuses one that holds more than bounds.py allows before it costs much.

First its bytes. In a large message then the entries of its lists, as they lie on the wire: to decode two million empty
ones would take 0.2 s and 340 MiB. A small message is decoded first and counted then, which is cheaper.
"""

from collections.abc import AsyncIterator, Iterable
from typing import Any

from google.protobuf.message import DecodeError, Message

from relay_server import errors
from relay_server.contract import bounds
from relay_server.contract.bounds import Bounded, Place
from relay_server.rpc import wire

# Decoding turns a byte into up to 80 in a list of empty jobs, into 12 in one of empty headers: into 20 and 12 MiB at
# these sizes, within 25 ms. Up to them a message is not walked on the wire, which would take 2 microseconds a job.
_DECODED_AT_ONCE_BYTES_MAX = 256 << 10
_ENTRIES_DECODED_AT_ONCE_BYTES_MAX = 1 << 20


def read(method: str, raw: bytes) -> Any:
    """The request of a method, within its bounds. Raises TooLarge and InvalidField."""
    allowed = bounds.BY_METHOD[method]
    size, place = len(raw), allowed.place
    if size > allowed.bytes_max:
        raise errors.TooLarge(
            f"request: must be at most {allowed.bytes_max} bytes, has {size}; send less in one call",
            metadata={"subject": "request"},
        )
    try:
        if place is not None and size > _DECODED_AT_ONCE_BYTES_MAX:
            wire.check(place, raw, deep=size > _ENTRIES_DECODED_AT_ONCE_BYTES_MAX)
        message = allowed.decode(raw)
    except (DecodeError, wire.Malformed):
        text = "is not a message of this call's type: check the client's version of the contract"
        raise errors.InvalidField([("request", text)]) from None
    if place is not None and size > place.harmless_bytes:
        wrong = _over(place, message, {})
        if wrong is not None:
            raise errors.InvalidField([wrong])
    return message


async def each(method: str, requests: AsyncIterator[bytes]) -> AsyncIterator[Any]:
    """The requests of a dialogue, each within the bounds."""
    async for raw in requests:
        yield read(method, raw)


def _over(place: Place, message: Message, totals: dict[Bounded, int]) -> tuple[str, str] | None:
    """The first list that has more entries than it may, by its path from here, and what is wrong.

    A list is only walked when its length is allowed. `totals` counts what is bounded over the whole request.
    """
    for field in place.all:
        its, entries, below = getattr(message, field.name), field.entries, field.below
        if entries is None:
            wrong = _over(below, its, totals) if below is not None else None
            if wrong is not None:
                return f"{field.name}.{wrong[0]}", wrong[1]
            continue
        has = len(its)
        if entries.in_all:
            has = totals[field] = totals.get(field, 0) + has
        if has > entries.most:
            return field.name, entries.wrong(has)
        if below is None or (below.only is not None and _all_within(its, below.only)):
            continue
        for i, entry in enumerate(its):
            wrong = _over(below, entry, totals)
            if wrong is not None:
                return f"{field.name}[{i}].{wrong[0]}", wrong[1]
    return None


def _all_within(messages: Iterable[Message], only: tuple[str, int]) -> bool:
    """Whether each of many messages with a single list keeps its bound: quick, for it is the cost of every batch."""
    name, most = only
    return all(len(getattr(message, name)) <= most for message in messages)
