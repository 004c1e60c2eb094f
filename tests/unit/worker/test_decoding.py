"""Payloads become what the type hint asks for, or say clearly why not."""

import enum
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal, NotRequired, TypedDict
from uuid import UUID

import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_worker.decoding import UnsupportedHint, decoder_for
from relay_worker.outcome import UndecodablePayload


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Address:
    street: str
    number: int | None = None


@dataclass(frozen=True, slots=True)
class Welcome:
    to: str
    tags: list[str] = field(default_factory=list)
    address: Address | None = None

    def __post_init__(self) -> None:
        if "@" not in self.to:
            raise ValueError("to: has no @")


class Order(TypedDict):
    id: int
    note: NotRequired[str]


class Model(pydantic.BaseModel):
    size: int


class Struct(msgspec.Struct):
    size: int


ID = "0190f0e0-0000-7000-8000-000000000000"


@pytest.mark.parametrize(
    ("hint", "value", "expected"),
    [
        (Any, {"a": [1]}, {"a": [1]}),
        (dict, {"a": 1}, {"a": 1}),
        (dict[str, Address], {"a": {"street": "s"}}, {"a": Address("s")}),
        (Mapping[str, int], {"a": 1}, {"a": 1}),
        (list, [1, "a"], [1, "a"]),
        (list[int], [1, 2], [1, 2]),
        (Sequence[int], [1, 2], [1, 2]),
        (tuple[int, str], [1, "a"], (1, "a")),
        (tuple[int, ...], [1, 2, 3], (1, 2, 3)),
        (set[int], [1, 1], {1}),
        (str, "text", "text"),
        (int, 7, 7),
        (float, 7, 7.0),
        (bool, True, True),
        (None, None, None),
        (int | None, None, None),
        (str | int, 5, 5),
        (Literal["a", "b"], "b", "b"),
        (Colour, "red", Colour.RED),
        (datetime, "2026-01-02T03:04:05+00:00", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        (date, "2026-01-02", date(2026, 1, 2)),
        (timedelta, 1.5, timedelta(seconds=1.5)),
        (UUID, ID, UUID(ID)),
        (Decimal, "1.10", Decimal("1.10")),
        (Welcome, {"to": "a@b", "later": 1}, Welcome("a@b")),
        (
            Welcome,
            {"to": "a@b", "address": {"street": "s", "number": 4}},
            Welcome("a@b", [], Address("s", 4)),
        ),
        (Order, {"id": 1, "unknown": 2}, {"id": 1}),
        (Order, {"id": 1, "note": "n"}, {"id": 1, "note": "n"}),
        (Model, {"size": 3}, Model(size=3)),
        (Struct, {"size": 3}, Struct(3)),
    ],
)
def test_json_becomes_the_hint(hint: Any, value: Any, expected: Any) -> None:
    decoded = decoder_for(hint)(json.dumps(value).encode(), "")
    assert decoded == expected
    assert type(decoded) is type(expected)


@pytest.mark.parametrize(
    ("hint", "payload", "says"),
    [
        (dict, b"{", "not JSON"),
        (dict, b"\xff", "not JSON"),
        (dict, b"", "expected an object, got null"),
        (dict, b"[]", "expected an object, got an array"),
        (int, b"true", "expected an integer, got a boolean"),
        (int, b"1.5", "expected an integer"),
        (str, b"1", "expected a string"),
        (float, b"true", "expected a number"),
        (list[int], b'[1,"a"]', r"payload\[1\]: expected an integer"),
        (tuple[int, int], b"[1]", "array of 2, got 1"),
        (Literal["a"], b'"c"', "expected one of"),
        (Colour, b'"blue"', "red"),
        (datetime, b'"soon"', "ISO 8601"),
        (UUID, b'"x"', "a UUID"),
        (Welcome, b"{}", "missing to"),
        (Welcome, b'{"to":"nobody"}', "has no @"),
        (Welcome, b'{"to":"a@b","address":{"street":1}}', r"payload\.address"),
        (Order, b'{"note":"n"}', "missing id"),
        (Model, b'{"size":"many"}', "size"),
        (Struct, b'{"size":"many"}', "size"),
        (Any, b"[" * 100_000, "not JSON"),
    ],
)
def test_what_does_not_fit_is_named(hint: Any, payload: bytes, says: str) -> None:
    with pytest.raises(UndecodablePayload, match=says):
        decoder_for(hint)(payload, "application/json")


def test_content_types() -> None:
    assert decoder_for(bytes)(b"\x00\xff", "application/x-thing") == b"\x00\xff"
    assert decoder_for(str)(b"hello", "text/plain; charset=utf-8") == "hello"
    assert decoder_for(Any)(b"\x00", "application/octet-stream") == b"\x00"
    assert decoder_for(dict)(b"{}", "application/vnd.shop+json") == {}
    with pytest.raises(UndecodablePayload, match="not JSON; take the payload as bytes"):
        decoder_for(dict)(b"{}", "application/octet-stream")
    with pytest.raises(UndecodablePayload, match="UTF-8"):
        decoder_for(str)(b"\xff", "text/plain")
    with pytest.raises(UndecodablePayload, match="pydantic"):
        decoder_for(Model)(b"{}", "image/png")


def test_an_impossible_hint_is_refused_at_once() -> None:
    with pytest.raises(UnsupportedHint, match="dataclass"):
        decoder_for(object.__subclasses__)


@given(st.binary(max_size=200))
def test_any_bytes_either_decode_or_say_why(payload: bytes) -> None:
    for hint in (Any, dict, Welcome, Order, Model, Struct, list[int]):
        with suppress(UndecodablePayload):
            decoder_for(hint)(payload, "application/json")
